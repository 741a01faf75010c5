//! The residual network ResNet (He et al. 2015, arXiv:1512.03385) in torchvision's layout: its modules have
//! torchvision's names, so weights can be exchanged in both directions.

use burn::module::{Initializer, Module};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use noprop_cpu::{conv2d, norm, norm_relu};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// The settings of a residual network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResNetConfig {
    /// The number of layers. It decides the number and the kind of the residual blocks.
    pub depth: Depth,
    /// The first layers, before the residual blocks.
    pub stem: Stem,
    /// The number of channels of the first stage, 64 in the original. The four stages have 1, 2, 4 and 8
    /// times as many.
    pub width: usize,
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self {
            depth: Depth::ResNet18,
            stem: Stem::Imagenet,
            width: 64,
        }
    }
}

/// The depth of a [`ResNet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum Depth {
    /// One basic block per stage (not in torchvision; for small images).
    ResNet10,
    /// Basic blocks 2, 2, 2, 2.
    ResNet18,
    /// Bottleneck blocks 3, 4, 6, 3.
    ResNet50,
    /// Bottleneck blocks 3, 8, 36, 3.
    ResNet152,
}

impl Depth {
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::ResNet10 => [1, 1, 1, 1],
            Self::ResNet18 => [2, 2, 2, 2],
            Self::ResNet50 => [3, 4, 6, 3],
            Self::ResNet152 => [3, 8, 36, 3],
        }
    }

    fn is_bottleneck(self) -> bool {
        matches!(self, Self::ResNet50 | Self::ResNet152)
    }
}

impl TryFrom<u32> for Depth {
    type Error = String;

    fn try_from(depth: u32) -> Result<Self, String> {
        match depth {
            10 => Ok(Self::ResNet10),
            18 => Ok(Self::ResNet18),
            50 => Ok(Self::ResNet50),
            152 => Ok(Self::ResNet152),
            other => Err(format!(
                "a ResNet of depth {other} is not known, expected 10, 18, 50 or 152"
            )),
        }
    }
}

impl From<Depth> for u32 {
    fn from(depth: Depth) -> Self {
        match depth {
            Depth::ResNet10 => 10,
            Depth::ResNet18 => 18,
            Depth::ResNet50 => 50,
            Depth::ResNet152 => 152,
        }
    }
}

/// The first layers of a [`ResNet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// 7×7 convolution with stride 2, then 3×3 max-pooling with stride 2 (torchvision).
    Imagenet,
    /// 3×3 convolution with stride 1, no pooling (the usual stem for 32×32 images).
    Small,
    /// 3×3 convolution with stride 2, no pooling: a quarter of the cost of `small`.
    Strided,
}

impl ResNetConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::at_least("model.backbone.width", self.width, 1, "at least 1")
    }

    /// A lower bound of the number of parameters: the weights of the last 3×3 convolution, of the stem and of the
    /// projection.
    pub(super) fn least_parameters(&self, input: [f64; 3], embed_dim: f64) -> f64 {
        let w = self.width as f64;
        9.0 * (8.0 * w).powi(2) + 9.0 * input[0] * w + 8.0 * w * embed_dim
    }

    pub(crate) fn init(&self, channels: usize, embed_dim: usize, device: &Device) -> ResNet {
        let (kernel, stride) = match self.stem {
            Stem::Imagenet => (7, 2),
            Stem::Small => (3, 1),
            Stem::Strided => (3, 2),
        };
        let expansion = if self.depth.is_bottleneck() { 4 } else { 1 };
        let mut fan_in = self.width;
        let mut stage = |index: usize| {
            let planes = self.width << index;
            let blocks = (0..self.depth.blocks()[index]).map(|block| {
                let stride = if block == 0 && index > 0 { 2 } else { 1 };
                let block = if self.depth.is_bottleneck() {
                    ResidualBlock::Bottleneck(Bottleneck::new(fan_in, planes, stride, device))
                } else {
                    ResidualBlock::Basic(BasicBlock::new(fan_in, planes, stride, device))
                };
                fan_in = planes * expansion;
                block
            });
            blocks.collect()
        };
        ResNet {
            conv1: conv([channels, self.width], kernel, stride, device),
            bn1: batch_norm(self.width, device),
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            layer4: stage(3),
            fc: LinearConfig::new(8 * self.width * expansion, embed_dim).init(device),
            pool: (self.stem == Stem::Imagenet).then(|| {
                MaxPool2dConfig::new([3, 3])
                    .with_strides([2, 2])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .init()
            }),
        }
    }
}

/// A residual network. Its fields have torchvision's names.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<ResidualBlock>,
    layer2: Vec<ResidualBlock>,
    layer3: Vec<ResidualBlock>,
    layer4: Vec<ResidualBlock>,
    /// The projection of the pooled features to `embed_dim`.
    fc: Linear,
    pool: Option<MaxPool2d>,
}

impl ResNet {
    /// The features `[b, embed_dim]` of normalised images `[b, c, h, w]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = norm_relu(&self.bn1, conv2d(&self.conv1, images), None);
        if let Some(pool) = &self.pool {
            x = pool.forward(x);
        }
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4]
            .into_iter()
            .flatten()
        {
            x = block.forward(x);
        }
        // Global average pooling, `[b, c, h, w]` → `[b, c]`.
        let pooled = x.flatten::<3>(2, 3).mean_dim(2).flatten::<2>(1, 2);
        self.fc.forward(pooled)
    }
}

/// A residual block of the network, not to be confused with a [`Block`](crate::block::Block) of NoProp-DT.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // A network holds one kind only; nothing is wasted.
enum ResidualBlock {
    Basic(BasicBlock),
    Bottleneck(Bottleneck),
}

impl ResidualBlock {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Basic(block) => block.forward(x),
            Self::Bottleneck(block) => block.forward(x),
        }
    }
}

/// Two 3×3 convolutions and a shortcut.
#[derive(Module, Debug)]
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl BasicBlock {
    fn new(fan_in: usize, planes: usize, stride: usize, device: &Device) -> Self {
        Self {
            conv1: conv([fan_in, planes], 3, stride, device),
            bn1: batch_norm(planes, device),
            conv2: conv([planes, planes], 3, 1, device),
            bn2: batch_norm(planes, device),
            downsample: shortcut(fan_in, planes, stride, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let out = norm_relu(&self.bn1, conv2d(&self.conv1, x.clone()), None);
        let out = conv2d(&self.conv2, out);
        norm_relu(&self.bn2, out, Some(project(&self.downsample, x)))
    }
}

/// Convolutions 1×1, 3×3 and 1×1, the last one four times as wide, and a shortcut. The 3×3 convolution has
/// the stride, as in torchvision ("ResNet v1.5").
#[derive(Module, Debug)]
struct Bottleneck {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Conv2d,
    bn3: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl Bottleneck {
    fn new(fan_in: usize, planes: usize, stride: usize, device: &Device) -> Self {
        Self {
            conv1: conv([fan_in, planes], 1, 1, device),
            bn1: batch_norm(planes, device),
            conv2: conv([planes, planes], 3, stride, device),
            bn2: batch_norm(planes, device),
            conv3: conv([planes, 4 * planes], 1, 1, device),
            bn3: batch_norm(4 * planes, device),
            downsample: shortcut(fan_in, 4 * planes, stride, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let out = norm_relu(&self.bn1, conv2d(&self.conv1, x.clone()), None);
        let out = norm_relu(&self.bn2, conv2d(&self.conv2, out), None);
        let out = conv2d(&self.conv3, out);
        norm_relu(&self.bn3, out, Some(project(&self.downsample, x)))
    }
}

fn conv(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv2d {
    let pad = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(false)
        // torchvision: normal, fan-out, gain √2.
        .with_initializer(Initializer::KaimingNormal {
            gain: 2_f64.sqrt(),
            fan_out_only: true,
        })
        .init(device)
}

fn batch_norm(channels: usize, device: &Device) -> BatchNorm {
    BatchNormConfig::new(channels).init(device)
}

fn shortcut(
    fan_in: usize,
    fan_out: usize,
    stride: usize,
    device: &Device,
) -> Option<(Conv2d, BatchNorm)> {
    (stride != 1 || fan_in != fan_out).then(|| {
        (
            conv([fan_in, fan_out], 1, stride, device),
            batch_norm(fan_out, device),
        )
    })
}

fn project(downsample: &Option<(Conv2d, BatchNorm)>, x: Tensor<4>) -> Tensor<4> {
    match downsample {
        Some((layer, bn)) => norm(bn, conv2d(layer, x)),
        None => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::initialised;

    fn parameters(depth: Depth, stem: Stem) -> usize {
        let device = Device::flex();
        let config = ResNetConfig {
            depth,
            stem,
            width: 64,
        };
        let network = initialised(&device, 0, || config.init(3, 256, &device));
        // Burn counts the running statistics of BatchNorm as parameters; torchvision does not.
        struct Count(usize, bool);
        impl burn::module::ModuleVisitor for Count {
            fn enter_module(&mut self, name: &str, _: &str) {
                self.1 = name.starts_with("running_");
            }
            fn visit_float<const D: usize>(&mut self, p: &burn::module::Param<Tensor<D>>) {
                if !self.1 {
                    self.0 += p.shape().num_elements();
                }
            }
        }
        let mut count = Count(0, false);
        network.visit(&mut count);
        count.0
    }

    #[test]
    fn parameter_counts_are_torchvisions() {
        // torchvision's totals, less its 1000-way fc, plus the projection to 256.
        assert_eq!(
            parameters(Depth::ResNet18, Stem::Imagenet),
            11_689_512 - 513_000 + 512 * 256 + 256
        );
        assert_eq!(
            parameters(Depth::ResNet50, Stem::Imagenet),
            25_557_032 - 2_049_000 + 2048 * 256 + 256
        );
        assert_eq!(
            parameters(Depth::ResNet152, Stem::Imagenet),
            60_192_808 - 2_049_000 + 2048 * 256 + 256
        );
    }

    #[test]
    fn every_stem_and_depth_gives_one_feature_vector_per_image() {
        let device = Device::flex();
        for stem in [Stem::Imagenet, Stem::Small, Stem::Strided] {
            for depth in [Depth::ResNet10, Depth::ResNet18, Depth::ResNet50] {
                let config = ResNetConfig {
                    depth,
                    stem,
                    width: 4,
                };
                let network = initialised(&device, 0, || config.init(1, 6, &device));
                let out = network.forward(Tensor::zeros([2, 1, 28, 28], &device));
                assert_eq!(out.dims(), [2, 6]);
            }
        }
    }
}
