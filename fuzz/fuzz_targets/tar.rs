//! Files out of a `.tar.gz`. The input is once the archive itself, and once what is in the gzip: its checksum
//! would keep libFuzzer out.
#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use noprop_formats::tar_gz;

/// Bytes that may be decompressed.
const LIMIT: u64 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let wanted = ["p/a".to_owned(), "p/b".to_owned()];
    look(bytes, &wanted);
    let mut gz = GzEncoder::new(Vec::new(), Compression::none());
    gz.write_all(bytes).expect("memory takes all");
    look(&gz.finish().expect("memory takes all"), &wanted);
});

fn look(archive: &[u8], wanted: &[String]) {
    match tar_gz::read(archive, wanted, LIMIT) {
        Ok(files) => {
            assert_eq!(files.len(), wanted.len());
            assert!(files.iter().all(|file| file.len() as u64 <= LIMIT));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
