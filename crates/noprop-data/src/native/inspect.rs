//! A look at the files of a data set, one by one, without a network.

use std::path::{Path, PathBuf};

use crate::DataError;
use crate::catalog::{Download, Published};
use crate::native::cache::Cache;
use crate::native::checksum::{Checksum, LoadedFile};
use crate::native::{sources, stored};

/// A file of a data set and what is wrong with it, if anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Its name.
    pub name: &'static str,
    /// The folder that it lies in, or should.
    pub folder: PathBuf,
    /// The verdict.
    pub state: State,
}

/// The verdict on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its checksum is the published one.
    Official,
    /// It can be read, but no checksum is published for it in this form.
    Unverified,
    /// It is not there.
    Missing,
    /// It is damaged, or not the published file; one sentence.
    Bad(String),
}

/// Every file of `published` in the user's folder `root`, or in the cache.
#[must_use]
pub fn inspect(published: &Published, root: Option<&Path>) -> Vec<FileReport> {
    let folder = match root {
        Some(root) => sources::folder_of(published, root).unwrap_or_else(|| root.to_path_buf()),
        None => Cache::locate(None, published.key)
            .map(|cache| cache.folder().to_path_buf())
            .unwrap_or_default(),
    };
    let look = |download| inspect_download(&folder, download);
    published.downloads.iter().flat_map(look).collect()
}

/// Whether the cache holds every download of `published`, unverified.
#[must_use]
pub fn is_cached(published: &Published) -> bool {
    Cache::locate(None, published.key).is_some_and(|cache| {
        let is_there = |download| cache.path_of(download).is_some();
        published.downloads.iter().all(is_there)
    })
}

/// One report of an archive that is there, or else one for each of its files.
fn inspect_download(folder: &Path, download: &Download) -> Vec<FileReport> {
    let report = |name, state| FileReport {
        name,
        folder: folder.to_path_buf(),
        state,
    };
    if download.is_archive()
        && let Some(files) = stored::read(folder, download)
    {
        let first = files.map(|files| files.into_iter().next().unwrap_or_default());
        return vec![report(download.name, state(first))];
    }
    let md5_gz = (!download.is_archive()).then_some(download.md5);
    let look = |file| stored::read_file(folder, file, md5_gz).map_or(State::Missing, state);
    download
        .files
        .iter()
        .map(|file| report(file.name, look(file)))
        .collect()
}

fn state(file: Result<LoadedFile, DataError>) -> State {
    match file.and_then(|file| file.checksum.check().map(|()| file.checksum)) {
        Ok(Checksum::Official) => State::Official,
        Ok(_) => State::Unverified,
        Err(DataError::Checksum { expected, found }) => State::Bad(format!(
            "its MD5 checksum is {found}, but the official file has {expected}"
        )),
        Err(error) => State::Bad(error.problem().to_string()),
    }
}
