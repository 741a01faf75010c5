//! The header and card of a weights file. The input is once the whole file, and once the card in a header
//! that is otherwise right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use noprop_core::weights;

fuzz_target!(|bytes: &[u8]| {
    look(bytes);
    if let Ok(card) = std::str::from_utf8(bytes) {
        look(&with_card(card));
    }
});

fn look(file: &[u8]) {
    match weights::read_card(file) {
        Ok(card) => {
            assert_eq!(card.classes.len(), card.model.classes);
            assert!(card.model.validate().is_ok());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A file of 64 KiB that holds nothing but `card`.
fn with_card(card: &str) -> Vec<u8> {
    let mut text = String::new();
    for c in card.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c < ' ' => text.push(' '),
            c => text.push(c),
        }
    }
    let header = format!(
        r#"{{"__metadata__":{{"noprop.format_version":"1","noprop.card":"{text}"}},"t":{{"dtype":"U8","shape":[65536],"data_offsets":[0,65536]}}}}"#
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + 65536, 0);
    file
}
