//! File formats of datasets, parsed from bytes in memory.
//!
//! Each format is a module with `parse` (or `read`) and its inverse `write`. A parser reads no file, never panics, and
//! takes no memory for a length that it has not checked against the bytes, so that bytes from anywhere can be given to
//! it. Its error says what was expected and what was found.
//!
//! ```
//! use noprop_formats::idx;
//!
//! // Two images of 1×3 pixels: the magic number for three axes, the axes, and the pixels.
//! let bytes = [
//!     0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 11, 12, 13, 14, 15,
//! ];
//! let images = idx::parse::<3>(&bytes)?;
//! assert_eq!(images.dims, [2, 1, 3]);
//! assert_eq!(images.data, [10, 11, 12, 13, 14, 15]);
//! assert_eq!(idx::write(images.dims, images.data)?, bytes);
//!
//! let truncated = idx::parse::<3>(&bytes[..20]).unwrap_err();
//! assert_eq!(
//!     truncated.to_string(),
//!     "the IDX header announces [2, 1, 3] = 6 bytes, found 4: the file is truncated"
//! );
//! # Ok::<(), idx::IdxError>(())
//! ```
//!
//! The crate knows no tensors, so that it compiles in seconds, with the fuzz targets too. The feature
//! `archive` adds `tar_gz`, which takes files out of a `.tar.gz`.

#![warn(missing_docs)]

pub mod cifar;
pub mod idx;
#[cfg(feature = "archive")]
pub mod tar_gz;
