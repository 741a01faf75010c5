//! Reading a file that may be gzipped, finding it under its spellings, writing it atomically.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::DataError;

/// No file of a supported data set comes near this; it stops a decompression bomb.
pub(crate) const MAX_BYTES: u64 = 512 << 20;

/// The file `name` in `folder`, raw or `.gz`, also spelled with `.idx` in place of `-idx`.
pub(crate) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    [name, &dotted]
        .into_iter()
        .flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))])
        .find(|path| path.exists())
}

/// Reads a file as it is stored.
///
/// # Errors
/// Each names `path`: missing, not a file, no permission, too large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let reading = |error| DataError::from_io(error, "read");
    let read = || {
        check_regular(path)?;
        read_limited(File::open(path).map_err(reading)?, MAX_BYTES, reading)
    };
    read().map_err(|error| error.at(path.display()))
}

/// An error unless there is a regular file. To be asked before opening: Windows reports a directory
/// as "no permission", and opening a pipe blocks.
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

/// Whether bytes are a gzip stream, told by the first of them and not by a name.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The bytes themselves, or decompressed if they are gzip.
pub(crate) fn maybe_gunzip(bytes: Vec<u8>) -> Result<Vec<u8>, DataError> {
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
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn raw_and_gzip_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for stored in [b"content".to_vec(), gzip(b"content")] {
            write_atomically(&path, &stored).unwrap();
            assert_eq!(maybe_gunzip(read(&path).unwrap()).unwrap(), b"content");
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
        // From the compressed data to the checksum and length at the end.
        for position in 10..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 0x10;
            let problem = maybe_gunzip(bad).unwrap_err();
            assert!(
                matches!(problem, DataError::Gzip { .. }),
                "{position}: {problem}"
            );
            assert!(problem.to_string().contains("download the file again"));
        }
        let truncated = maybe_gunzip(good[..good.len() - 9].to_vec());
        assert!(matches!(truncated, Err(DataError::Gzip { .. })));
    }

    #[test]
    fn what_is_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| read(path).unwrap_err().to_string();
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
