//! The convolutional network of the paper (figure 6). It has no BatchNorm of its own; a block of NoProp-DT
//! adds one behind it.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use noprop_cpu::conv2d;
use serde::{Deserialize, Serialize};

use crate::dropout::Dropout;
use crate::error::ConfigError;

/// The settings of the convolutional network. Its layers are conv 3×3 (w channels) → pool → dropout → conv (2w) →
/// dropout → conv (4w) → pool → dropout → linear → ReLU, with a ReLU after each convolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CnnConfig {
    /// The number w of channels of the first convolution; 32 in the paper.
    pub width: usize,
    /// The probability of dropout; 0.2 in the paper.
    pub dropout: f64,
}

impl Default for CnnConfig {
    fn default() -> Self {
        Self {
            width: 32,
            dropout: 0.2,
        }
    }
}

impl CnnConfig {
    pub(crate) fn validate(&self, [_, height, width]: [usize; 3]) -> Result<(), ConfigError> {
        ConfigError::at_least("model.backbone.width", self.width, 1, "at least 1")?;
        ConfigError::at_least(
            "model.input",
            height.min(width),
            4,
            "at least 4×4 pixels for the two poolings",
        )?;
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(ConfigError::value(
                "model.backbone.dropout",
                self.dropout,
                "at least 0 and below 1",
            ));
        }
        Ok(())
    }

    /// A lower bound of the number of parameters: the weights of the three convolutions and of the linear layer.
    pub(super) fn least_parameters(&self, input: [f64; 3], embed_dim: f64) -> f64 {
        let ([channels, height, width], w) = (input, self.width as f64);
        let flat = 4.0 * w * (height / 4.0).floor() * (width / 4.0).floor();
        72.0 * w * w + 9.0 * channels * w + flat * embed_dim
    }

    pub(crate) fn init(&self, input: [usize; 3], embed_dim: usize, device: &Device) -> Cnn {
        let [channels, height, width] = input;
        let w = self.width;
        let conv = |channels| {
            Conv2dConfig::new(channels, [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        let flat = 4 * w * (height / 2 / 2) * (width / 2 / 2);
        Cnn {
            conv1: conv([channels, w]),
            conv2: conv([w, 2 * w]),
            conv3: conv([2 * w, 4 * w]),
            fc: LinearConfig::new(flat, embed_dim).init(device),
            pool: MaxPool2dConfig::new([2, 2]).init(),
            dropout: self.dropout,
        }
    }
}

/// The convolutional network of figure 6.
#[derive(Module, Debug)]
pub struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    conv3: Conv2d,
    fc: Linear,
    pool: MaxPool2d,
    #[module(skip)]
    dropout: f64,
}

impl Cnn {
    /// The features `[b, embed_dim]` of normalised images `[b, c, h, w]`.
    pub fn forward(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        relu(self.project(images, dropout))
    }

    /// The features `[b, embed_dim]` before the last ReLU.
    pub fn project(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        let x = relu(conv2d(&self.conv1, images));
        let x = dropout.apply(self.pool.forward(x), self.dropout);
        let x = dropout.apply(relu(conv2d(&self.conv2, x)), self.dropout);
        let x = relu(conv2d(&self.conv3, x));
        let x = dropout.apply(self.pool.forward(x), self.dropout);
        self.fc.forward(x.flatten::<2>(1, 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_count_is_the_papers() {
        // Image branch of figure 6 with padding 1: 1,698,560 parameters on MNIST.
        let device = Device::flex();
        let init = || CnnConfig::default().init([1, 28, 28], 256, &device);
        let network = crate::noise::initialised(&device, 0, init);
        assert_eq!(network.num_params(), 1_698_560);
    }
}
