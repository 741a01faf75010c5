//! CIFAR's binary layout, with none to three bytes of labels. A record is 3,072 bytes and more, so the input
//! is a record's head and how often it is repeated: libFuzzer's bytes go where decisions are taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use noprop_formats::cifar;

/// Bytes of the pixels of a record.
const PIXELS: usize = 3 * 32 * 32;

fuzz_target!(|input: (u8, u8, u16, &[u8])| {
    let (label_bytes, records, extra, head) = input;
    let label_bytes = usize::from(label_bytes % 4);
    let record = label_bytes + PIXELS;
    // Whole records half of the time.
    let extra = if extra % 2 == 0 { 0 } else { usize::from(extra) % record };
    let length = usize::from(records % 4) * record + extra;
    let mut bytes = head.to_vec();
    bytes.resize(length, head.last().copied().unwrap_or(0));

    match cifar::parse(&bytes, label_bytes) {
        Ok(file) => {
            assert_eq!(file.len() * record, bytes.len());
            let (labels, pixels): (Vec<u8>, Vec<&[u8]>) = file.images().unzip();
            assert!(pixels.iter().all(|image| image.len() == PIXELS));
            if label_bytes == 1 {
                assert_eq!(cifar::write(&labels, &pixels.concat(), 1), bytes);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    // And the input as it is.
    let _ = cifar::parse(head, label_bytes);
});
