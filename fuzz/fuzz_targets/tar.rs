//! Files out of a `.tar.gz`. The input is once the archive itself, and once what is in the gzip: its checksum
//! would keep libFuzzer out.
#![no_main]

use flate2::Crc;
use libfuzzer_sys::fuzz_target;
use noprop_formats::tar_gz;

/// Bytes that may be decompressed.
const LIMIT: u64 = 1 << 12;

fuzz_target!(|bytes: &[u8]| {
    let wanted = ["p/a".to_owned(), "p/b".to_owned()];
    look(bytes, &wanted);
    look(&stored(bytes), &wanted);
});

/// `bytes` in a gzip as one stored block (RFC 1951, 3.2.4), cut where that ends.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len().min(usize::from(u16::MAX)) as u16;
    let bytes = &bytes[..usize::from(length)];
    let mut crc = Crc::new();
    crc.update(bytes);
    let mut gz = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    gz.extend(length.to_le_bytes());
    gz.extend((!length).to_le_bytes());
    gz.extend(bytes);
    gz.extend(crc.sum().to_le_bytes());
    gz.extend(u32::from(length).to_le_bytes());
    gz
}

fn look(archive: &[u8], wanted: &[String]) {
    match tar_gz::read(archive, wanted, LIMIT) {
        Ok(files) => {
            assert_eq!(files.len(), wanted.len());
            assert!(files.iter().all(|file| file.len() as u64 <= LIMIT));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
