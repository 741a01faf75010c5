//! Files out of a `.tar.gz`, into memory.
//!
//! Nothing is written to disk, and a file is read only under the exact name that is asked for, so that paths, links and
//! devices in an archive can do no harm.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// An archive that does not hold the files asked for. The message continues a sentence whose subject is the archive.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The archive cannot be decoded, for this reason.
    #[error("is damaged ({0})")]
    Damaged(String),
    /// The archive holds no file of this name.
    #[error("has no file {0}")]
    Lacks(String),
}

/// Reads the regular files at the paths `wanted` in the archive, in that order. Of the decompressed archive
/// at most `limit` bytes are read.
///
/// # Errors
/// [`TarError::Damaged`] when the archive cannot be decoded or a wanted file lies beyond the limit, and
/// [`TarError::Lacks`] when the archive has no such file.
pub fn read(archive: impl Read, wanted: &[String], limit: u64) -> Result<Vec<Vec<u8>>, TarError> {
    let damaged = |error: io::Error| TarError::Damaged(error.to_string());
    let mut found: Vec<Option<Vec<u8>>> = vec![None; wanted.len()];
    // The limit is on everything that is decompressed, names and unwanted files included.
    let mut archive = tar::Archive::new(GzDecoder::new(archive).take(limit));
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let is_wanted = |name: &String| entry.path_bytes().as_ref() == name.as_bytes();
        let slot = wanted.iter().position(is_wanted);
        if let Some(slot) = slot
            && entry.header().entry_type().is_file()
        {
            let size = entry.size();
            let mut bytes = Vec::new();
            // The stream ends at the limit.
            entry.read_to_end(&mut bytes).map_err(damaged)?;
            if bytes.len() as u64 != size {
                return Err(TarError::Damaged("truncated".to_owned()));
            }
            found[slot] = Some(bytes);
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    found
        .into_iter()
        .zip(wanted)
        .map(|(bytes, name)| bytes.ok_or_else(|| TarError::Lacks(name.clone())))
        .collect()
}

/// Writes a `.tar.gz` of regular files, each a path and its content; the inverse of [`read`].
///
/// # Errors
/// When a path is longer than 100 bytes.
pub fn write(files: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (path, content) in files {
        bytes.extend(entry(tar::EntryType::Regular, path, content)?);
    }
    gzip(&close(bytes))
}

/// Bytes of one entry. The path is taken as it is, even with `..`, which the builder of `tar` refuses.
fn entry(kind: tar::EntryType, path: &str, content: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    let name = header.as_old_mut().name.get_mut(..path.len());
    let name = name.ok_or_else(|| io::Error::other(format!("{path} is longer than 100 bytes")))?;
    name.copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    if kind.is_symlink() {
        header.set_link_name("target")?;
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    Ok(bytes)
}

/// Ends an archive with two empty blocks.
fn close(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], wanted: &[String]) -> Result<Vec<Vec<u8>>, TarError> {
        super::read(bytes, wanted, 1 << 20)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        super::gzip(bytes).unwrap()
    }

    fn entry(kind: tar::EntryType, path: &str, content: &[u8]) -> Vec<u8> {
        super::entry(kind, path, content).unwrap()
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        write(files).unwrap()
    }

    fn names(wanted: &[&str]) -> Vec<String> {
        wanted.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn wanted_files_come_in_their_order() {
        let bytes = archive(&[("p/a", b"A"), ("p/other", b"?"), ("p/b", b"B")]);
        let files = read(&bytes[..], &names(&["p/b", "p/a"])).unwrap();
        assert_eq!(files, [b"B".to_vec(), b"A".to_vec()]);
    }

    #[test]
    fn nothing_is_read_beyond_the_limit() {
        let bytes = archive(&[("p/a", &[7; 5000])]);
        let wanted = names(&["p/a"]);
        assert!(matches!(
            super::read(&bytes[..], &wanted, 5000),
            Err(TarError::Damaged(_))
        ));
        // The header is 512 bytes.
        assert_eq!(super::read(&bytes[..], &wanted, 5512).unwrap().len(), 1);
        assert!(write(&[(&"x".repeat(101), b"")]).is_err());
    }

    #[test]
    fn a_bad_archive_is_an_error() {
        let bytes = archive(&[("p/a", b"A")]);
        let problem = |bytes: &[u8], wanted| read(bytes, &names(&[wanted])).unwrap_err();
        assert_eq!(problem(&bytes, "p/c").to_string(), "has no file p/c");
        assert!(matches!(problem(&bytes[..20], "p/a"), TarError::Damaged(_)));
        assert!(matches!(problem(b"no gzip", "p/a"), TarError::Damaged(_)));
    }

    #[test]
    fn a_path_that_climbs_and_a_link_are_not_the_file() {
        let climbing = archive(&[("../p/a", b"x"), ("/p/a", b"x"), ("p/../p/a", b"x")]);
        assert_eq!(
            read(&climbing[..], &names(&["p/a"])),
            Err(TarError::Lacks("p/a".to_owned()))
        );
        for kind in [
            tar::EntryType::Symlink,
            tar::EntryType::Link,
            tar::EntryType::Char,
        ] {
            let mut bytes = entry(kind, "p/a", b"");
            bytes = close(bytes);
            assert_eq!(
                read(&gzip(&bytes)[..], &names(&["p/a"])),
                Err(TarError::Lacks("p/a".to_owned())),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_file_that_promises_more_than_there_is_is_damage() {
        let mut bytes = entry(tar::EntryType::Regular, "p/a", b"A");
        // The size of the file is octal text at byte 124.
        bytes[124..135].copy_from_slice(b"77777777777");
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&bytes[..512]);
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        let problem = read(&gzip(&bytes)[..], &names(&["p/a"]));
        assert!(problem.is_err(), "{problem:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..2048),
            position in 0usize..3000, value: u8,
        ) {
            let wanted = names(&["p/a", "p/b"]);
            let _ = read(&bytes[..], &wanted);
            let _ = read(&gzip(&bytes)[..], &wanted);
            // A good archive with one byte changed, before and after compression.
            let mut tar = [
                entry(tar::EntryType::Regular, "p/a", b"A"),
                entry(tar::EntryType::GNULongName, "p/b", b"p/long"),
                entry(tar::EntryType::Regular, "p/b", b"B"),
            ].concat();
            tar = close(tar);
            let mut compressed = gzip(&tar);
            let at = position % tar.len();
            tar[at] = value;
            let _ = read(&gzip(&tar)[..], &wanted);
            let at = position % compressed.len();
            compressed[at] = value;
            if let Ok(files) = read(&compressed[..], &wanted) {
                prop_assert_eq!(files.len(), 2);
            }
        }
    }
}
