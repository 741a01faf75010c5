//! Published checksums, and files that carry the verdict on theirs.

use md5::{Digest, Md5};

use crate::DataError;

/// A file in memory, decompressed, and where it came from, for messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LoadedFile {
    pub(crate) place: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) checksum: Checksum,
}

/// How a file compares with the published one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// No checksum is published for it in this form.
    #[default]
    Unpublished,
    /// It is the published file.
    Official,
    /// It is another. Both are MD5 in lower-case hexadecimal.
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

    /// An error unless the file may be the published one.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        match self.clone() {
            Self::Mismatch { expected, found } => Err(DataError::Checksum { expected, found }),
            Self::Unpublished | Self::Official => Ok(()),
        }
    }
}

/// Checks bytes against an MD5 in lower-case hexadecimal.
pub(crate) fn verify(bytes: &[u8], md5: &str) -> Result<(), DataError> {
    Checksum::of(bytes, Some(md5)).check()
}

/// An error unless every file may be the published one.
pub(crate) fn verify_all(files: Vec<LoadedFile>) -> Result<Vec<LoadedFile>, DataError> {
    files.iter().try_for_each(|file| file.checksum.check())?;
    Ok(files)
}

/// MD5 in lower-case hexadecimal. It detects damage; it is no defence against forgery, but it is
/// the checksum that is published.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    Md5::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_of_known_text() {
        assert_eq!(md5_hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(md5_hex(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
        assert!(verify(b"abc", "900150983cd24fb0d6963f7d28e17f72").is_ok());
        assert_eq!(Checksum::of(b"abc", None), Checksum::Unpublished);
        assert!(verify(b"abd", "900150983cd24fb0d6963f7d28e17f72").is_err());
    }
}
