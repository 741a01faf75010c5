//! NoProp: training a classifier by denoising labels (Li, Teh, Pascanu, arXiv:2503.24322).
//!
//! A label is a point in embedding space. Training teaches a small network to denoise it given the image;
//! inference starts from noise and walks to a label. Data flows one way:
//!
//! | step | module | paper |
//! |---|---|---|
//! | image → features, once per image | [`backbone`] | figure 6 |
//! | label → embedding u_y | [`embedding`] | §2.2.1 |
//! | time → ᾱ(t), SNR(t), SNR′(t) | [`schedule`] | eq. 65–67 |
//! | (features, z_t, t) → û | [`denoiser`], [`network`] | figure 6 |
//! | (features, z_{t−1}) → û in NoProp-DT, a block for each step | [`block`] | figure 6, DT column |
//! | û → loss | [`method`] | eq. 8, 9; eq. 10–13 for flow matching |
//! | z_0 → z_1 → class | [`sampler`], [`Classifier`] | eq. 3, 5–7, 13 |
//!
//! Three lines classify an image:
//!
//! ```
//! # use noprop_core::{Classifier, Device};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let weights = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/mnist.safetensors");
//! # let pixels = [0; 28 * 28];
//! let classifier = Classifier::load(std::fs::read(weights)?, &Device::flex())?;
//! let prediction = classifier.classify(&pixels)?;
//! println!("{}", classifier.classes()[prediction.class]);
//! # Ok(())
//! # }
//! ```
//!
//! Pixels are `u8`, row-major, of the shape that `classifier.image_shape()` states; for a picture file the crate
//! `image` gives them (`image::open(path)?.to_luma8()`). The published MNIST weights expect a white digit on black.
//! [`Device`] is Burn's; `Device::flex()` is the CPU. A program that names other parts of Burn depends on the same
//! version of `burn` as this crate, with the feature `flex`.
//!
//! Time runs from t = 0 (noise) to t = 1 (clean). Nothing here touches files, clocks, threads or
//! standard output, so the same code runs natively and in a page.
#![warn(missing_docs)]

mod accuracy;
pub mod backbone;
pub mod block;
mod block_range;
mod classifier;
pub mod config;
pub mod denoiser;
pub mod dropout;
pub mod embedding;
pub mod error;
pub mod inference;
pub mod method;
mod model;
pub mod network;
pub mod noise;
mod normalization;
pub mod sampler;
pub mod schedule;
mod votes;
pub mod weights;

pub use accuracy::{Accuracy, predicted_class};
pub use block_range::BlockRange;
/// The device that computes, from Burn.
pub use burn::tensor::Device;
pub use classifier::{Classifier, Prediction, RecordedWalk};
pub use config::ModelConfig;
pub use embedding::Estimate;
pub use error::{ClassifyError, ConfigError, WalkError, WeightsError};
pub use inference::{Inference, Views};
pub use method::{Loss, Method};
pub use model::NoProp;
pub use network::{Features, Process, ProcessKind};
pub use noise::seeded;
pub use normalization::Normalization;
pub use sampler::{SAMPLERS, Sampler, SeenLatents, Walk};
pub use votes::{ViewFeatures, Walks};
