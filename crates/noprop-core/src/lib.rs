//! NoProp: training a classifier by denoising labels (Li, Teh, Pascanu, arXiv:2503.24322).
//!
//! A label is a point in embedding space; training teaches a small network to denoise it given
//! the image; inference starts from noise and walks to a label. Data flows one way:
//!
//! | step | module | paper |
//! |---|---|---|
//! | image → features, once per image | [`backbone`] | figure 6 |
//! | label → embedding u_y | [`embedding`] | §2.2.1 |
//! | time → ᾱ(t), SNR(t), SNR′(t) | [`schedule`] | eq. 65–67 |
//! | (features, z_t, t) → û | [`denoiser`], [`model`] | figure 6 |
//! | the same in NoProp-DT, a block for each step | [`block`] | figure 6, DT column |
//! | û → loss | [`objective`] | eq. 8, 9; eq. 10–13 for flow matching |
//! | z_0 → z_1 → class | [`sampler`] | eq. 3, §4.3 of the derivation in the README |
//!
//! Time runs from t = 0 (noise) to t = 1 (clean). Nothing here touches files, clocks, threads or
//! standard output, so the same code runs natively and in a page.
#![warn(missing_docs)]

mod accuracy;
pub mod backbone;
pub mod block;
mod block_range;
pub mod config;
pub mod denoiser;
pub mod dropout;
pub mod embedding;
pub mod error;
mod generator;
pub mod model;
pub mod noise;
pub mod objective;
pub mod sampler;
pub mod schedule;
pub mod weights;

pub use accuracy::{Accuracy, predicted_class};
pub use block_range::BlockRange;
pub use config::{ModelConfig, Readout};
pub use error::{ConfigError, WeightsError};
pub use generator::seeded;
pub use model::{Estimate, Features, NoProp};
pub use objective::{Loss, ObjectiveConfig};
pub use sampler::SamplerKind;
