//! Files of a dataset: found under any of their spellings, decompressed, and compared with their published checksums;
//! and a way of writing files whole or not at all.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use md5::{Digest, Md5};

use crate::DataError;
use crate::formats::tar_gz;
use crate::load::published_dataset::{Download, PublishedFile};

/// Largest file that is read, in bytes. No file of a dataset is nearly as large; a decompression bomb is.
pub(crate) const MAX_BYTES: u64 = 512 << 20;

/// A file in memory, decompressed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CheckedFile {
    /// Path or address of the file, for messages.
    pub(crate) place: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) checksum: Checksum,
}

/// Outcome of the comparison of a file with the published one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// No checksum is published for the file in this form.
    #[default]
    Unpublished,
    /// The file is the published one.
    Official,
    /// The file is another one. Both checksums are MD5 in lower-case hexadecimal.
    Mismatch { expected: String, found: String },
}

impl Checksum {
    /// Compares bytes with the published MD5, if there is one.
    pub(crate) fn of(bytes: &[u8], md5: Option<&str>) -> Self {
        let Some(expected) = md5 else {
            return Self::Unpublished;
        };
        let found = md5_hex(bytes);
        if found == expected {
            Self::Official
        } else {
            Self::Mismatch {
                expected: expected.to_owned(),
                found,
            }
        }
    }

    /// Checks that the file is the published one.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        match self.clone() {
            Self::Mismatch { expected, found } => Err(DataError::Checksum { expected, found }),
            Self::Unpublished | Self::Official => Ok(()),
        }
    }
}

/// Checks that the bytes have this MD5, in lower-case hexadecimal.
pub(crate) fn verify(bytes: &[u8], md5: &str) -> Result<(), DataError> {
    Checksum::of(bytes, Some(md5)).check()
}

/// Returns the files, or an error if one of them is not the published one.
pub(crate) fn verify_all(files: Vec<CheckedFile>) -> Result<Vec<CheckedFile>, DataError> {
    files.iter().try_for_each(|file| file.checksum.check())?;
    Ok(files)
}

/// MD5 of bytes in lower-case hexadecimal. It detects damage and is no defence against forgery, but it
/// is the checksum that is published.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    Md5::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Reads the files of `download` from `folder`: each raw or `.gz`, or all in their `.tar.gz`. `None` if `folder` lacks
/// one of them.
pub(crate) fn read_download(
    folder: &Path,
    download: &Download,
) -> Option<Result<Vec<CheckedFile>, DataError>> {
    if download.is_archive() {
        let path = folder.join(download.name);
        return path.exists().then(|| {
            let stored = read_bytes(&path)?;
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

/// Reads one file from `folder`, raw or `.gz`; `None` if `folder` does not have it. `md5_gz` is the published checksum
/// of the `.gz`. If no checksum is published for the raw file, a raw file cannot be checked.
pub(crate) fn read_file(
    folder: &Path,
    file: &PublishedFile,
    md5_gz: Option<&str>,
) -> Option<Result<CheckedFile, DataError>> {
    let path = find(folder, file.name)?;
    let read = || {
        let stored = read_bytes(&path)?;
        let of_gz = match md5_gz {
            Some(_) if file.md5.is_none() && is_gzip(&stored) => Checksum::of(&stored, md5_gz),
            _ => Checksum::Unpublished,
        };
        let place = path.display().to_string();
        let bytes = gunzip(stored).map_err(|error| error.at(&place))?;
        let checksum = match of_gz {
            Checksum::Unpublished => Checksum::of(&bytes, file.md5),
            known => known,
        };
        Ok(CheckedFile {
            place,
            bytes,
            checksum,
        })
    };
    Some(read())
}

/// Unpacks the files in the bytes of a compressed `download`, which came from `place`.
pub(crate) fn unpack(
    download: &Download,
    bytes: Vec<u8>,
    place: &str,
) -> Result<Vec<CheckedFile>, DataError> {
    let contents = if download.is_archive() {
        let wanted: Vec<String> = download
            .files
            .iter()
            .map(|file| format!("{}{}", download.folder, file.name))
            .collect();
        tar_gz::read(bytes.as_slice(), &wanted, MAX_BYTES).map_err(|problem| DataError::Archive {
            why: problem.to_string(),
        })
    } else {
        gunzip(bytes).map(|bytes| vec![bytes])
    };
    let contents = contents.map_err(|error| error.at(place))?;
    Ok(contents
        .into_iter()
        .zip(download.files)
        .map(|(bytes, file)| CheckedFile {
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

/// Path of the file `name` in `folder`, raw or `.gz`, also spelled with `.idx` in place of `-idx`; `None`
/// if there is none.
pub(crate) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    [name, &dotted]
        .into_iter()
        .flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))])
        .find(|path| path.exists())
}

/// Reads a file without decompressing it.
///
/// # Errors
/// When the file is missing, is no file, must not be read, or is too large; each error names `path`.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let reading = |error| DataError::from_io(error, "read");
    let read = || {
        check_regular(path)?;
        read_limited(File::open(path).map_err(reading)?, MAX_BYTES, reading)
    };
    read().map_err(|error| error.at(path.display()))
}

/// Checks that `path` is a regular file. Callers check before they open a file, since Windows reports a directory as
/// "no permission" and opening a pipe blocks.
pub(crate) fn check_regular(path: &Path) -> Result<(), DataError> {
    let kind = fs::metadata(path)
        .map_err(|error| DataError::from_io(error, "read"))?
        .file_type();
    if kind.is_file() {
        return Ok(());
    }
    let found = if kind.is_dir() {
        "a directory"
    } else {
        "not a regular file"
    };
    Err(DataError::NotAFile { found })
}

/// Whether bytes are a gzip stream, by their first two bytes and not by the name of the file.
fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Decompresses bytes that are gzip, and returns other bytes unchanged.
pub(crate) fn gunzip(bytes: Vec<u8>) -> Result<Vec<u8>, DataError> {
    if !is_gzip(&bytes) {
        return Ok(bytes);
    }
    let decoder = MultiGzDecoder::new(bytes.as_slice());
    read_limited(decoder, MAX_BYTES, |problem| DataError::Gzip { problem })
}

/// Reads to the end, at most `limit` bytes.
pub(crate) fn read_limited(
    reader: impl Read,
    limit: u64,
    to_error: impl Fn(std::io::Error) -> DataError,
) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    reader
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(to_error)?;
    if bytes.len() as u64 > limit {
        return Err(DataError::TooLarge { limit });
    }
    Ok(bytes)
}

/// Writes a temporary file beside `path` and renames it, so that `path` is never half a file.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error| DataError::from_io(error, "write").at(path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::test_support::gzip;

    #[test]
    fn md5_of_known_text() {
        assert_eq!(md5_hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(md5_hex(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
        assert!(verify(b"abc", "900150983cd24fb0d6963f7d28e17f72").is_ok());
        assert_eq!(Checksum::of(b"abc", None), Checksum::Unpublished);
        assert!(verify(b"abd", "900150983cd24fb0d6963f7d28e17f72").is_err());
    }

    #[test]
    fn raw_and_gzip_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for stored in [b"content".to_vec(), gzip(b"content")] {
            write_atomically(&path, &stored).unwrap();
            assert_eq!(gunzip(read_bytes(&path).unwrap()).unwrap(), b"content");
        }
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn a_flipped_byte_in_gzip_is_damage() {
        let good = gzip(&[7; 1000]);
        // The change may be anywhere from the compressed data to the checksum and length at the end.
        for position in 10..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 0x10;
            let problem = gunzip(bad).unwrap_err();
            assert!(
                matches!(problem, DataError::Gzip { .. }),
                "{position}: {problem}"
            );
            assert!(problem.to_string().contains("download the file again"));
        }
        let truncated = gunzip(good[..good.len() - 9].to_vec());
        assert!(matches!(truncated, Err(DataError::Gzip { .. })));
    }

    #[test]
    fn what_is_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| read_bytes(path).unwrap_err().to_string();
        let directory = folder.path().display();
        assert_eq!(
            message(folder.path()),
            format!(
                "{directory}: is a directory, expected a file: give the path of the file itself"
            )
        );
        let missing = folder.path().join("none");
        assert_eq!(
            message(&missing),
            format!(
                "{}: not found; expected an existing file",
                missing.display()
            )
        );
    }

    #[test]
    fn a_stream_is_read_to_its_limit() {
        let first = |limit| read_limited(&[0; 10][..], limit, |e| DataError::from_io(e, "read"));
        assert_eq!(first(10).unwrap().len(), 10);
        assert!(matches!(first(9), Err(DataError::TooLarge { limit: 9 })));
    }

    #[test]
    fn both_spellings_are_found() {
        let name = "train-images-idx3-ubyte";
        for spelling in [
            name,
            "train-images.idx3-ubyte",
            "train-images.idx3-ubyte.gz",
        ] {
            let folder = tempfile::tempdir().unwrap();
            assert_eq!(find(folder.path(), name), None);
            let path = folder.path().join(spelling);
            fs::write(&path, "").unwrap();
            assert_eq!(find(folder.path(), name), Some(path));
        }
    }

    #[test]
    fn writing_where_no_folder_is_fails_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/file");
        let message = write_atomically(&path, b"").unwrap_err().to_string();
        assert!(
            message.starts_with(&path.display().to_string()),
            "{message}"
        );
    }
}
