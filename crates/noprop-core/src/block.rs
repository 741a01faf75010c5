//! A block of NoProp-DT (figure 6, DT column): one step of the walk, with weights of its own.
//!
//! ```text
//! image: backbone → BatchNorm                                                    (no ReLU)
//! z_{t−1}: linear → BatchNorm → ReLU = h;  h + BatchNorm(linear(ReLU(BatchNorm(linear h))))
//! head: both side by side → linear → ReLU → linear → ReLU → linear → logits
//! ```
//!
//! If z has the size of an image, it may go through a convolutional network of its own instead (`label_encoder`
//! "image"), followed by BatchNorm like the features of the image.
//!
//! The head has BatchNorm after its hidden layers if `head.batch_norm` is true, as in figure 6. The features'
//! share of its first layer does not depend on z and is computed once, as in
//! [`Denoiser`](crate::denoiser::Denoiser).

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::backbone::Backbone;
use crate::config::{LabelEncoderConfig, ModelConfig};
use crate::denoiser::{Head, LatentImage};
use crate::dropout::Dropout;

/// The number of encodings that enter the first layer of the head: those of the image and of z.
const ENCODINGS: usize = 2;

/// The network of one step of NoProp-DT: its class logits give û_{θ_t} = softmax(logits)·W_Embed. It has a
/// backbone of its own.
#[derive(Module, Debug)]
pub struct Block {
    backbone: Backbone,
    norm: BatchNorm,
    label_branch: LatentBranch,
    head: Head,
}

impl Block {
    pub(crate) fn new(config: &ModelConfig, device: &Device) -> Self {
        Self {
            backbone: config.backbone.init(config.input, config.embed_dim, device),
            norm: BatchNormConfig::new(config.embed_dim).init(device),
            label_branch: LatentBranch::new(config, device),
            head: Head::new(config, ENCODINGS, config.classes, device),
        }
    }

    /// The features `[b, embed_dim]` of normalised images `[b, c, h, w]`.
    pub fn features(&self, images: Tensor<4>, dropout: &mut Dropout) -> Tensor<2> {
        self.norm.forward(self.backbone.project(images, dropout))
    }

    /// The features' share `[b, hidden]` of the first layer of the head, from `features` `[b, embed_dim]`.
    pub fn fuse_features(&self, features: Tensor<2>) -> Tensor<2> {
        self.head.fuse_features(features)
    }

    /// The class logits `[b, m]` for images `[b, c, h, w]` and latents z_{t−1} `[b, d]`, with dropout: the
    /// forward pass of training.
    pub fn train_logits(
        &self,
        images: Tensor<4>,
        z: Tensor<2>,
        dropout: &mut Dropout,
    ) -> Tensor<2> {
        let fused = self.fuse_features(self.features(images, dropout));
        self.forward(fused, z)
    }

    /// The class logits `[b, m]` from the features' share `fused` `[b, hidden]` and latents z_{t−1} `[b, d]`.
    pub fn forward(&self, fused: Tensor<2>, z: Tensor<2>) -> Tensor<2> {
        let label = self.label_branch.forward(z);
        let width = label.dims()[1];
        let share = label.matmul(self.head.weight_rows(width, width));
        self.head.after_first(fused + share)
    }
}

/// The encoder of z_{t−1}: latents `[b, d]` → encodings `[b, embed_dim]`.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // One value per block; boxing would only obscure it.
enum LatentBranch {
    Vector(LabelBranch),
    Image((LatentImage, BatchNorm)),
}

impl LatentBranch {
    fn new(config: &ModelConfig, device: &Device) -> Self {
        let width = config.embed_dim;
        match config.label_encoder {
            LabelEncoderConfig::Image => Self::Image((
                LatentImage::new(config, device),
                BatchNormConfig::new(width).init(device),
            )),
            _ => Self::Vector(LabelBranch::new(config.latent_dim(), width, device)),
        }
    }

    fn forward(&self, z: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Vector(branch) => branch.forward(z),
            Self::Image((module, norm)) => norm.forward(module.project(z)),
        }
    }
}

/// The encoder of a latent that is a vector: linear layers with a connection that skips the last two of them.
#[derive(Module, Debug)]
struct LabelBranch {
    fc1: Linear,
    bn1: BatchNorm,
    fc2: Linear,
    bn2: BatchNorm,
    fc3: Linear,
    bn3: BatchNorm,
}

impl LabelBranch {
    fn new(latent: usize, width: usize, device: &Device) -> Self {
        let linear = |from| LinearConfig::new(from, width).init(device);
        let norm = || BatchNormConfig::new(width).init(device);
        Self {
            fc1: linear(latent),
            bn1: norm(),
            fc2: linear(width),
            bn2: norm(),
            fc3: linear(width),
            bn3: norm(),
        }
    }

    fn forward(&self, z: Tensor<2>) -> Tensor<2> {
        let h = relu(self.bn1.forward(self.fc1.forward(z)));
        let x = relu(self.bn2.forward(self.fc2.forward(h.clone())));
        self.bn3.forward(self.fc3.forward(x)) + h
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{BackboneConfig, CnnConfig};
    use crate::config::HeadConfig;
    use crate::noise::initialised;
    use crate::noise::{NoiseSource, Purpose};

    #[test]
    fn parameter_count_is_the_papers() {
        let config = ModelConfig {
            backbone: BackboneConfig::Cnn(CnnConfig::default()),
            head: HeadConfig {
                batch_norm: true,
                ..Default::default()
            },
            ..Default::default()
        };
        let device = Device::flex();
        let block = initialised(&device, 1, || Block::new(&config, &device));
        // Running means and variances of 256, 3 · 256, 256 and 128 channels are no parameters.
        let statistics = 2 * (256 + 3 * 256 + 256 + 128);
        // One block of figure 6 with padding 1 on MNIST with one-hot labels.
        assert_eq!(block.num_params() - statistics, 2_001_290);
    }

    #[test]
    fn splitting_the_first_layer_changes_nothing() {
        let device = Device::flex();
        let config = ModelConfig {
            input: [1, 8, 8],
            embed_dim: 6,
            backbone: BackboneConfig::Cnn(CnnConfig {
                width: 2,
                dropout: 0.0,
            }),
            ..Default::default()
        };
        let block = initialised(&device, 1, || Block::new(&config, &device));
        let mut noise = NoiseSource::new(3, Purpose::Sampling, 0);
        let features = noise.normal_tensor([5, 6], &device);
        let z = noise.normal_tensor([5, 10], &device);
        let split = block.forward(block.fuse_features(features.clone()), z.clone());
        let label = block.label_branch.forward(z);
        let weight = block.head.weight_rows(0, 12);
        let joined = Tensor::cat(vec![features, label], 1).matmul(weight);
        let bias = block.head.fuse_features(Tensor::zeros([1, 6], &device));
        let whole = block.head.after_first(joined + bias);
        let difference = (split - whole).abs().max().into_scalar::<f32>();
        // The same 12 products in another order of summation.
        assert!(difference < 1e-5, "{difference}");
    }
}
