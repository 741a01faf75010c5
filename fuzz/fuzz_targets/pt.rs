//! Weights of PyTorch. The input is once the whole file, and once the pickle in an archive that is otherwise right.
#![no_main]

use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use noprop_pytorch::StateDict;
use zip::ZipWriter;
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;

fuzz_target!(|bytes: &[u8]| {
    look(bytes);
    if let Ok(file) = with_pickle(bytes) {
        look(&file);
    }
});

fn look(file: &[u8]) {
    match StateDict::read(file) {
        Ok(state) => {
            let mut numbers = 0;
            for (name, tensor) in &state.tensors {
                let count: usize = tensor.shape.iter().product();
                assert_eq!(count, tensor.values.len(), "{name}");
                assert_ne!(count, 0, "{name}");
                numbers += count;
            }
            assert!(numbers <= file.len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A file with `pickle` and the storages 0 and 1 of 64 bytes.
fn with_pickle(pickle: &[u8]) -> ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in [
        ("model/data.pkl", pickle),
        ("model/data/0", &[0; 64]),
        ("model/data/1", &[1; 64]),
    ] {
        archive.start_file(name, stored)?;
        archive.write_all(content)?;
    }
    Ok(archive.finish()?.into_inner())
}
