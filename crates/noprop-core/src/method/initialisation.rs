//! The initial weights of the parts of a network, and what a network with blocks must satisfy.

use burn::nn::Linear;
use burn::tensor::Device;

use crate::block::Block;
use crate::config::{LabelEncoderConfig, ModelConfig};
use crate::embedding::{ClassEmbeddingConfig, PrototypeSource};
use crate::error::ConfigError;
use crate::network::inner_product_head;
use crate::noise::initialised;

/// The largest number of steps T that a method with blocks may have.
const MOST_STEPS: usize = 1000;

/// The values on which the initial weights of a network depend.
#[derive(Clone, Copy)]
pub(super) struct Initialisation<'a> {
    /// The architecture.
    pub config: &'a ModelConfig,
    /// The initial values of W_Embed, `[classes, d]` row-major.
    pub embeddings: &'a [f32],
    /// The seed of the random weights.
    pub seed: u64,
    /// The device that holds the weights.
    pub device: &'a Device,
}

impl Initialisation<'_> {
    /// The initial output head for latents z_1 ~ N(√ᾱ u_y, (1 − ᾱ) I) with the signal-to-noise ratio `snr` =
    /// ᾱ/(1−ᾱ). For one-hot embeddings it is Bayes' rule for equally likely classes, with logits
    /// √ᾱ/(1−ᾱ) z·u_y. Learned embeddings move, and a head of that scale would hold them where they began; for
    /// them the logits are z·u_y.
    pub fn output_head(&self, snr: f64) -> Linear {
        let scale = match self.config.class_embedding {
            // √ᾱ/(1−ᾱ) = √(SNR (1 + SNR)).
            ClassEmbeddingConfig::OneHot => libm::sqrt(snr * (1.0 + snr)),
            _ => 1.0,
        };
        inner_product_head(self.embeddings, self.config.classes, scale, self.device)
    }
}

/// The blocks of a network of T = `steps` steps. The weights of a block depend on the seed and on its index only.
pub(super) fn new_blocks(steps: usize, start: Initialisation<'_>) -> Vec<Block> {
    let Initialisation { config, device, .. } = start;
    let block = |t: usize| {
        let seed = start.seed ^ (t as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        initialised(device, seed, || Block::new(config, device))
    };
    (0..steps).map(block).collect()
}

/// Checks that T = `steps` and the architecture suit a network with blocks.
pub(super) fn check_blocks(steps: usize, model: &ModelConfig) -> Result<(), ConfigError> {
    if !(2..=MOST_STEPS).contains(&steps) {
        return Err(ConfigError::value("method.steps", steps, "from 2 to 1000"));
    }
    if model.label_encoder == LabelEncoderConfig::Residual {
        return Err(ConfigError::Combination(
            "the blocks of methods \"dt\" and \"backprop\" cannot have the residual label encoder; leave out \
             model.label_encoder, or set it to \"image\" for latents of image size"
                .into(),
        ));
    }
    let random_features = ClassEmbeddingConfig::Prototype {
        source: PrototypeSource::RandomFeatures,
    };
    if model.class_embedding == random_features {
        return Err(ConfigError::Combination(
            "prototypes from random features need one backbone for all times, and methods \"dt\" and \
             \"backprop\" have a backbone in each block; set class_embedding source to \"image\""
                .into(),
        ));
    }
    Ok(())
}
