//! The files of a data set as they lie in a folder: each raw or `.gz`, or all in their `.tar.gz`.

use std::path::Path;

use crate::DataError;
use crate::catalog::{Download, PublishedFile};
use crate::formats::tar_gz;
use crate::native::checksum::{Checksum, LoadedFile};
use crate::native::files;

/// Reads the files of `download` from `folder`; `None` if they are not there. How they compare
/// with the published ones is noted in them.
pub(crate) fn read(
    folder: &Path,
    download: &Download,
) -> Option<Result<Vec<LoadedFile>, DataError>> {
    if download.is_archive() {
        let path = folder.join(download.name);
        return path.exists().then(|| {
            let stored = files::read(&path)?;
            let checksum = Checksum::of(&stored, Some(download.md5));
            let mut files = unpack(download, stored, &path.display().to_string())?;
            for file in &mut files {
                file.checksum.clone_from(&checksum);
            }
            Ok(files)
        });
    }
    let files: Option<Vec<_>> = download
        .files
        .iter()
        .map(|file| read_file(folder, file, Some(download.md5)))
        .collect();
    files.map(|files| files.into_iter().collect())
}

/// Reads one file that lies in `folder`, raw or `.gz`; `None` if it is not there. Where only the
/// `.gz` has a published checksum, `md5_gz`, a raw file cannot be compared with any.
pub(crate) fn read_file(
    folder: &Path,
    file: &PublishedFile,
    md5_gz: Option<&str>,
) -> Option<Result<LoadedFile, DataError>> {
    let path = files::find(folder, file.name)?;
    let read = || {
        let stored = files::read(&path)?;
        let of_gz = match md5_gz {
            Some(_) if file.md5.is_none() && files::is_gzip(&stored) => {
                Checksum::of(&stored, md5_gz)
            }
            _ => Checksum::Unpublished,
        };
        let place = path.display().to_string();
        let bytes = files::maybe_gunzip(stored).map_err(|error| error.at(&place))?;
        let checksum = match of_gz {
            Checksum::Unpublished => Checksum::of(&bytes, file.md5),
            known => known,
        };
        Ok(LoadedFile {
            place,
            bytes,
            checksum,
        })
    };
    Some(read())
}

/// The files in the bytes of `download`, which came from `place`.
pub(crate) fn unpack(
    download: &Download,
    bytes: Vec<u8>,
    place: &str,
) -> Result<Vec<LoadedFile>, DataError> {
    let contents = if download.is_archive() {
        let wanted: Vec<String> = download
            .files
            .iter()
            .map(|file| format!("{}{}", download.folder, file.name))
            .collect();
        tar_gz::read(bytes.as_slice(), &wanted, files::MAX_BYTES).map_err(|problem| {
            DataError::Archive {
                why: problem.to_string(),
            }
        })
    } else {
        files::maybe_gunzip(bytes).map(|bytes| vec![bytes])
    };
    let contents = contents.map_err(|error| error.at(place))?;
    Ok(contents
        .into_iter()
        .zip(download.files)
        .map(|(bytes, file)| LoadedFile {
            place: if download.is_archive() {
                format!("{place}, {}", file.name)
            } else {
                place.to_owned()
            },
            checksum: Checksum::of(&bytes, file.md5),
            bytes,
        })
        .collect())
}
