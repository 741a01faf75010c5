//! File formats, as parsers of bytes in memory: no files, no panics, no allocation by header.
//!
//! A crate of its own, which compiles in seconds: `fuzz` runs it without a tensor engine.

#![warn(missing_docs)]

pub mod cifar;
pub mod idx;
#[cfg(feature = "archive")]
pub mod tar_gz;
