//! Image → features. The only expensive part, evaluated once per image: it depends neither on
//! z nor on t.
//!
//! A new backbone is one file here, one arm in each of the two enums, and nothing elsewhere.

mod cnn;
mod resnet;

pub use cnn::{Cnn, CnnConfig};
pub use resnet::{Depth, ResNet, ResNetConfig, Stem};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::dropout::Dropout;
use crate::error::ConfigError;

/// Which backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BackboneConfig {
    /// A residual network in torchvision's layout.
    Resnet(ResNetConfig),
    /// The paper's convolutional network (figure 6, CT column).
    Cnn(CnnConfig),
}

impl Default for BackboneConfig {
    fn default() -> Self {
        Self::Resnet(ResNetConfig::default())
    }
}

impl BackboneConfig {
    pub(crate) fn validate(&self, input: [usize; 3]) -> Result<(), ConfigError> {
        match self {
            Self::Resnet(config) => config.validate(),
            Self::Cnn(config) => config.validate(input),
        }
    }

    /// Fewer parameters than the network has, in f64: the numbers may come from a file that nobody
    /// has checked, and be absurd.
    pub(crate) fn least_parameters(&self, input: [usize; 3], embed_dim: usize) -> f64 {
        let (input, embed_dim) = (input.map(|n| n as f64), embed_dim as f64);
        match self {
            Self::Resnet(config) => config.least_parameters(input, embed_dim),
            Self::Cnn(config) => config.least_parameters(input, embed_dim),
        }
    }

    /// A backbone with random weights from `device`'s generator.
    pub fn init(&self, input: [usize; 3], embed_dim: usize, device: &Device) -> Backbone {
        match self {
            Self::Resnet(config) => Backbone::Resnet(config.init(input[0], embed_dim, device)),
            Self::Cnn(config) => Backbone::Cnn(config.init(input, embed_dim, device)),
        }
    }

    /// Whether training draws random numbers inside the network (dropout).
    pub fn is_stochastic(&self) -> bool {
        match self {
            Self::Resnet(_) => false,
            Self::Cnn(config) => config.dropout > 0.0,
        }
    }
}

/// A network from images to features.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // One value per model; boxing would only obscure it.
pub enum Backbone {
    /// See [`ResNet`].
    Resnet(ResNet),
    /// See [`Cnn`].
    Cnn(Cnn),
}

impl Backbone {
    /// Images `[b, c, h, w]`, normalised → features `[b, embed_dim]`.
    pub fn forward(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        match self {
            Self::Resnet(network) => network.forward(images),
            Self::Cnn(network) => network.forward(images, dropout),
        }
    }

    /// The same before a last ReLU, where there is one: what a block of NoProp-DT normalises.
    pub fn project(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        match self {
            Self::Resnet(network) => network.forward(images),
            Self::Cnn(network) => network.project(images, dropout),
        }
    }
}
