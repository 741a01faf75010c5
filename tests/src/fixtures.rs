//! The files that `benchmarks/peer/make_fixtures.py` made.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use noprop_pytorch::StateDict;

/// The path of the fixture `name`.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/parity")).join(name)
}

/// Reads the tensors in the fixture `name`.
pub fn state_dict(name: &str) -> StateDict {
    let bytes = std::fs::read(fixture(name)).unwrap();
    StateDict::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
}
