//! File formats, as parsers of bytes in memory: no files, no panics, no allocation by header.

pub mod cifar;
pub mod idx;
