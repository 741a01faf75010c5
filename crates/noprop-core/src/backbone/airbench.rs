//! A convolutional network in the shape of airbench94 (Jordan 2024, arXiv:2404.00498), which reaches 94 % on
//! CIFAR-10 in few epochs.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor, TensorData};
use noprop_cpu::{conv2d, conv2d_gelu, max_pool, norm_gelu};
use serde::{Deserialize, Serialize};

use super::whitening::{SIDE, cosine_filters, filter_tensor, patch_size};
use crate::error::ConfigError;

/// The settings of a network in airbench's shape. Its layers are a whitening convolution 2×2 → GELU → three groups
/// → max-pooling over what remains of the image → linear. A group is conv 3×3 → max-pooling 2×2 → BatchNorm → GELU
/// → conv 3×3 → BatchNorm → GELU. The groups have w, 4w and 4w channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AirbenchConfig {
    /// The number w of channels of the first group; 64 in the original.
    pub width: usize,
}

impl Default for AirbenchConfig {
    fn default() -> Self {
        Self { width: 64 }
    }
}

/// The smallest side of an image: three poolings leave one pixel of 15, which are left by the whitening of 16.
const LEAST_SIDE: usize = 16;

impl AirbenchConfig {
    pub(crate) fn validate(&self, [_, height, width]: [usize; 3]) -> Result<(), ConfigError> {
        ConfigError::at_least("model.backbone.width", self.width, 1, "at least 1")?;
        ConfigError::at_least(
            "model.input",
            height.min(width),
            LEAST_SIDE,
            "at least 16×16 pixels for the whitening and the three poolings of backbone kind \"airbench\"; \
             use kind \"cnn\" for smaller images",
        )
    }

    /// A lower bound of the number of parameters: the weights of the convolutions and of the linear layer.
    pub(super) fn least_parameters(&self, [channels, ..]: [f64; 3], embed_dim: f64) -> f64 {
        let (w, patch) = (self.width as f64, 4.0 * channels);
        let groups = 9.0 * (2.0 * patch * w + w * w + 4.0 * w * w + 3.0 * (4.0 * w).powi(2));
        2.0 * patch * patch + groups + 4.0 * w * embed_dim
    }

    pub(crate) fn init(&self, channels: usize, embed_dim: usize, device: &Device) -> Airbench {
        let filters = 2 * patch_size(channels);
        let mut whitening = Conv2dConfig::new([channels, filters], [SIDE, SIDE])
            .with_padding(PaddingConfig2d::Valid)
            .init(device);
        let values = cosine_filters(channels);
        let set = |old: Tensor<4>| filter_tensor(&values, old.dims(), &old.device());
        whitening.weight = whitening.weight.map(set).set_require_grad(false);
        let w = self.width;
        Airbench {
            whitening,
            group1: Group::new(filters, w, device),
            group2: Group::new(w, 4 * w, device),
            group3: Group::new(4 * w, 4 * w, device),
            fc: LinearConfig::new(4 * w, embed_dim).init(device),
        }
    }
}

/// A network in airbench's shape. The weight of its whitening layer is frozen: no gradient and no optimiser
/// reaches it. The trainer takes it from the training images
/// ([`whitening_filters`](super::whitening_filters)); before, it is a basis of cosines.
#[derive(Module, Debug)]
pub struct Airbench {
    whitening: Conv2d,
    group1: Group,
    group2: Group,
    group3: Group,
    /// The projection of the pooled features to `embed_dim`.
    fc: Linear,
}

impl Airbench {
    /// The features `[b, embed_dim]` of normalised images `[b, c, h, w]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = conv2d_gelu(&self.whitening, images);
        for group in [&self.group1, &self.group2, &self.group3] {
            x = group.forward(x);
        }
        let [_, _, height, width] = x.dims();
        self.fc
            .forward(max_pool(x, [height, width]).flatten::<2>(1, 3))
    }
}

/// Two convolutions 3×3 without bias, with a pooling between them. BatchNorm's scale is frozen at 1.
#[derive(Module, Debug)]
struct Group {
    conv1: Conv2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
}

impl Group {
    fn new(fan_in: usize, planes: usize, device: &Device) -> Self {
        Self {
            conv1: conv([fan_in, planes], device),
            norm1: batch_norm(planes, device),
            conv2: conv([planes, planes], device),
            norm2: batch_norm(planes, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = max_pool(conv2d(&self.conv1, x), [2, 2]);
        let x = conv2d(&self.conv2, norm_gelu(&self.norm1, x));
        norm_gelu(&self.norm2, x)
    }
}

/// A convolution 3×3 whose first filters pass one input channel on each, so that the untrained network keeps the
/// image; the other filters are random.
fn conv([fan_in, fan_out]: [usize; 2], device: &Device) -> Conv2d {
    let mut layer = Conv2dConfig::new([fan_in, fan_out], [3, 3])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .with_bias(false)
        .init(device);
    let passing = fan_in.min(fan_out);
    let mut values = vec![0.0; passing * fan_in * 9];
    for channel in 0..passing {
        values[(channel * fan_in + channel) * 9 + 4] = 1.0;
    }
    // A new parameter: the old one would keep a graph of how its values were made.
    let random = layer.weight.val().detach().set_require_grad(false);
    let first = TensorData::new(values, [passing, fan_in, 3, 3]);
    let first = Tensor::from_data(first, &random.device());
    layer.weight = Param::from_tensor(match fan_out - passing {
        0 => first,
        rest => Tensor::cat(vec![first, random.narrow(0, passing, rest)], 0),
    });
    layer
}

/// BatchNorm with the running statistics of airbench: a batch has a share of 0.4 in them. (airbench writes 0.6,
/// the share of the old statistics.)
fn batch_norm(channels: usize, device: &Device) -> BatchNorm {
    let config = BatchNormConfig::new(channels).with_momentum(0.4);
    let mut layer = config.init(device);
    layer.gamma = layer.gamma.set_require_grad(false);
    layer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::initialised;

    fn network(width: usize, channels: usize, device: &Device) -> Airbench {
        let config = AirbenchConfig { width };
        initialised(device, 0, || config.init(channels, 10, device))
    }

    #[test]
    fn parameter_count_is_airbenchs() {
        let device = Device::flex();
        // Whitening 24·12 + 24, convolutions, five numbers for each of 2 · (64 + 256 + 256) BatchNorm channels less
        // one each (burn counts the running statistics as parameters, so 4), and the linear layer.
        let convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256);
        let rest = 24 * 12 + 24 + 4 * 2 * (64 + 256 + 256) + 256 * 10 + 10;
        assert_eq!(network(64, 3, &device).num_params(), convolutions + rest);
        let least = AirbenchConfig::default().least_parameters([3.0, 32.0, 32.0], 10.0);
        assert!(least <= (convolutions + rest) as f64 && least > 0.99 * convolutions as f64);
    }

    #[test]
    fn every_size_of_image_gives_one_feature_vector_per_image() {
        let device = Device::flex();
        for (channels, side) in [(1, 16), (1, 28), (3, 32), (3, 50)] {
            let network = network(4, channels, &device);
            let images = Tensor::zeros([2, channels, side, side + 1], &device);
            assert_eq!(network.forward(images).dims(), [2, 10]);
        }
        let config = AirbenchConfig::default();
        assert!(config.validate([3, 16, 16]).is_ok());
        let error = config.validate([3, 32, 15]).unwrap_err().to_string();
        assert!(error.contains("at least 16×16 pixels"), "{error}");
    }

    #[test]
    fn the_first_filters_pass_the_image_on() {
        let device = Device::flex();
        let layer = initialised(&device, 0, || conv([2, 3], &device));
        let x = Tensor::<4>::random([1, 2, 5, 5], burn::tensor::Distribution::Default, &device);
        let y = conv2d(&layer, x.clone()).narrow(1, 0, 2);
        assert!((y - x).abs().max().into_scalar::<f32>() < 1e-6);
    }

    #[test]
    fn frozen_values_get_no_gradient() {
        let device = Device::flex().autodiff();
        let network = network(4, 1, &device).valid().train();
        let images =
            Tensor::<4>::random([4, 1, 16, 16], burn::tensor::Distribution::Default, &device);
        let gradients = network.forward(images).square().sum().backward();
        assert!(network.whitening.weight.val().grad(&gradients).is_none());
        assert!(network.group2.norm1.gamma.val().grad(&gradients).is_none());
        let bias = network.whitening.bias.as_ref().unwrap().val();
        assert!(bias.grad(&gradients).is_some());
        assert!(network.group1.conv1.weight.val().grad(&gradients).is_some());
        assert!(network.group2.norm1.beta.val().grad(&gradients).is_some());
    }
}
