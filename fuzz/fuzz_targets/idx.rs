//! IDX, of every number of axes that is used: what parses has as many bytes as it says, and is written
//! as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use noprop_formats::idx;

fuzz_target!(|bytes: &[u8]| {
    round_trip::<1>(bytes);
    round_trip::<2>(bytes);
    round_trip::<3>(bytes);
});

fn round_trip<const RANK: usize>(bytes: &[u8]) {
    match idx::parse::<RANK>(bytes) {
        Ok(file) => {
            assert_eq!(file.dims.iter().product::<usize>(), file.data.len());
            assert_eq!(idx::write(file.dims, file.data).as_deref(), Ok(bytes));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
