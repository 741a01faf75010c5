//! The backbones: networks from images to features. A backbone is the only expensive part of a model. It
//! depends neither on z nor on t, so it is evaluated once for each image.
//!
//! A new backbone is one file in this folder and one variant in each of the two enums [`BackboneConfig`] and
//! [`Backbone`].

mod airbench;
mod cnn;
mod resnet;
mod whitening;

pub use airbench::{Airbench, AirbenchConfig};
pub use cnn::{Cnn, CnnConfig};
pub use resnet::{Depth, ResNet, ResNetConfig, Stem};
pub use whitening::{whitening_filters, with_whitening_filters};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::dropout::Dropout;
use crate::error::ConfigError;

/// The backbone of a model and its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BackboneConfig {
    /// A residual network in torchvision's layout.
    Resnet(ResNetConfig),
    /// The paper's convolutional network (figure 6, CT column).
    Cnn(CnnConfig),
    /// A convolutional network in the shape of airbench94.
    Airbench(AirbenchConfig),
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
            Self::Airbench(config) => config.validate(input),
        }
    }

    /// A lower bound of the number of parameters. It is computed in f64, since the settings may come from an
    /// unchecked file and be absurdly large.
    pub(crate) fn least_parameters(&self, input: [usize; 3], embed_dim: usize) -> f64 {
        let (input, embed_dim) = (input.map(|n| n as f64), embed_dim as f64);
        match self {
            Self::Resnet(config) => config.least_parameters(input, embed_dim),
            Self::Cnn(config) => config.least_parameters(input, embed_dim),
            Self::Airbench(config) => config.least_parameters(input, embed_dim),
        }
    }

    /// A backbone with random weights from the generator of `device`.
    pub fn init(&self, input: [usize; 3], embed_dim: usize, device: &Device) -> Backbone {
        match self {
            Self::Resnet(config) => Backbone::Resnet(config.init(input[0], embed_dim, device)),
            Self::Cnn(config) => Backbone::Cnn(config.init(input, embed_dim, device)),
            Self::Airbench(config) => Backbone::Airbench(config.init(input[0], embed_dim, device)),
        }
    }

    /// Whether training draws random numbers inside the backbone (dropout).
    pub fn is_stochastic(&self) -> bool {
        match self {
            Self::Resnet(_) | Self::Airbench(_) => false,
            Self::Cnn(config) => config.dropout > 0.0,
        }
    }
}

/// A backbone: a network from images to features.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // One value per model; boxing would only obscure it.
pub enum Backbone {
    /// A residual network.
    Resnet(ResNet),
    /// The convolutional network of the paper.
    Cnn(Cnn),
    /// A convolutional network in the shape of airbench94.
    Airbench(Airbench),
}

impl Backbone {
    /// The features `[b, embed_dim]` of normalised images `[b, c, h, w]`.
    pub fn forward(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        match self {
            Self::Resnet(network) => network.forward(images),
            Self::Cnn(network) => network.forward(images, dropout),
            Self::Airbench(network) => network.forward(images),
        }
    }

    /// The features `[b, embed_dim]` before the last ReLU, if the backbone ends in one. A block of NoProp-DT
    /// applies its BatchNorm to them.
    pub fn project(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        match self {
            Self::Resnet(network) => network.forward(images),
            Self::Cnn(network) => network.project(images, dropout),
            Self::Airbench(network) => network.forward(images),
        }
    }
}
