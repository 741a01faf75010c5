//! Datasets for NoProp: images as `u8` pixels with `u16` labels, in memory, and as batches on a device.
//!
//! A [`Dataset`] is a plain value: a name, class names, a training and a test [`Split`], and the
//! [`Normalization`](noprop_core::Normalization) of the pixels. Whoever has pixels and labels builds one in three lines:
//!
//! ```
//! use noprop_data::{Dataset, Split};
//!
//! // Grey images of 2×2 pixels, row by row. Which of the two rows is bright?
//! let train = Split::new(vec![250, 240, 9, 7, 3, 5, 244, 251], vec![0, 1], [1, 2, 2], 2)?;
//! let test = Split::new(vec![8, 1, 255, 230], vec![1], [1, 2, 2], 2)?;
//! let dataset = Dataset::new("bright-row", ["upper", "lower"], train, test)?;
//!
//! assert_eq!(dataset.train.len(), 2);
//! let label = usize::from(dataset.test.labels[0]);
//! assert_eq!(dataset.classes[label], "lower");
//!
//! // A label that names no class is an error, not a panic.
//! let wrong = Split::new(vec![0, 0, 9, 9], vec![2], [1, 2, 2], 2);
//! assert_eq!(
//!     wrong.unwrap_err().to_string(),
//!     "label 2 of image 0 is out of range: expected 0 to 1 for 2 classes"
//! );
//! # Ok::<(), noprop_data::DataError>(())
//! ```
//!
//! A [`DeviceSplit`] keeps a split on a device, one byte a pixel, and makes normalised batches of it
//! there. [`augment`] changes the images of a training batch at random. [`holdout()`] takes validation
//! images out of the training images.
//!
//! The feature `native` adds what needs files or a network: [`load()`] finds, downloads and verifies
//! the files that a [`PublishedDataset`] describes, [`load_image_folder`] reads a folder of images for
//! each class, and [`decode_image`] reads one image file. Without it the crate builds for wasm32. The
//! file formats themselves are parsed by [`formats`].

#![warn(missing_docs)]

mod dataset;
mod device_split;
mod error;
mod holdout;
mod split;

pub mod augment;

#[cfg(feature = "native")]
mod load;

pub use noprop_formats as formats;

pub use dataset::{Dataset, FolderOptions};
pub use device_split::DeviceSplit;
pub use error::{DataError, FolderError};
pub use holdout::holdout;
pub use split::Split;

#[cfg(feature = "native")]
pub use load::{
    Download, FileReport, FileState, Format, LoadOptions, Loaded, NpmPackage, Progress,
    PublishedDataset, PublishedFile, decode_image, file_reports, is_cached, is_image_folder, load,
    load_image_folder,
};
