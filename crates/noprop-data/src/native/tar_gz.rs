//! Files out of a `.tar.gz` in memory. Nothing is written to disk, and a file is taken only under
//! the exact name that is asked for, so paths, links and devices in an archive can do no harm.

use std::io::{self, Read};

use flate2::read::GzDecoder;

use crate::native::files::MAX_BYTES;

/// Why an archive gives no files, for a message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TarError {
    /// It cannot be decoded.
    #[error("is damaged ({0})")]
    Damaged(String),
    /// It is another archive.
    #[error("has no file {0}")]
    Lacks(String),
}

/// The regular files at `wanted` (paths in the archive), in that order.
///
/// # Errors
/// Damage, more than 512 MiB decompressed, or a file that is not there.
pub(crate) fn read(archive: impl Read, wanted: &[String]) -> Result<Vec<Vec<u8>>, TarError> {
    let damaged = |error: io::Error| TarError::Damaged(error.to_string());
    let mut found: Vec<Option<Vec<u8>>> = vec![None; wanted.len()];
    // The limit is on everything that is decompressed, names and unwanted files included.
    let mut archive = tar::Archive::new(GzDecoder::new(archive).take(MAX_BYTES));
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let is_wanted = |name: &String| entry.path_bytes().as_ref() == name.as_bytes();
        let slot = wanted.iter().position(is_wanted);
        if let Some(slot) = slot
            && entry.header().entry_type().is_file()
        {
            let size = entry.size();
            let mut bytes = Vec::new();
            // The stream itself ends at the limit.
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

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Names as given, `..` included, which the builder's own methods would refuse.
    fn entry(kind: tar::EntryType, path: &str, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        if kind.is_symlink() {
            header.set_link_name("target").unwrap();
        }
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    /// A `.tar.gz` of regular files.
    pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes: Vec<u8> = files
            .iter()
            .flat_map(|(path, content)| entry(tar::EntryType::Regular, path, content))
            .collect();
        bytes.resize(bytes.len() + 1024, 0);
        gzip(&bytes)
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
            bytes.resize(bytes.len() + 1024, 0);
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
        // The size field: octal, at 124.
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
            tar.resize(tar.len() + 1024, 0);
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
