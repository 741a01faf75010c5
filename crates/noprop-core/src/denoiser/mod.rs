//! The denoiser (figure 6): a network from the features, z_t and t to class logits.
//!
//! ```text
//! h = W·[features, encode(z_t), encode(t)] + b  →  ReLU  →  linear  →  ReLU  →  linear  →  logits
//! ```
//!
//! The first layer is a sum of three products. The product with the features does not change along a walk, so
//! it is computed once for each image ([`Denoiser::fuse_features`]); the product with the encoding of the
//! time is computed once in each step for the whole batch.

mod folded;

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};

use crate::backbone::{BackboneConfig, Cnn, CnnConfig};
use crate::config::{LabelEncoderConfig, ModelConfig};
use crate::dropout::Dropout;

pub use folded::FoldedDenoiser;

/// The number of encodings that enter the first layer of the head: those of image, z and t.
const ENCODINGS: usize = 3;

/// The denoiser for all times: its class logits give û_θ = softmax(logits)·W_Embed.
#[derive(Module, Debug)]
pub struct Denoiser {
    label_encoder: LabelEncoder,
    time_encoder: TimeEncoder,
    head: Head,
    latent_dim: usize,
}

impl Denoiser {
    /// A denoiser whose last layer gives `outputs` numbers: m class logits, or a velocity of d numbers.
    pub(crate) fn new(config: &ModelConfig, outputs: usize, device: &Device) -> Self {
        Self {
            label_encoder: LabelEncoder::new(config, device),
            time_encoder: TimeEncoder::new(config, device),
            head: Head::new(config, ENCODINGS, outputs, device),
            latent_dim: config.latent_dim(),
        }
    }

    /// The features' share `[b, hidden]` of the first layer of the head, from `features` `[b, embed_dim]`.
    pub fn fuse_features(&self, features: Tensor<2>) -> Tensor<2> {
        self.head.fuse_features(features)
    }

    /// The dimension d of the latents z.
    pub fn latent_dim(&self) -> usize {
        self.latent_dim
    }

    /// The class logits `[b, m]`, or the velocity `[b, d]` of full rank, from the features' share `fused`
    /// `[b, hidden]`, latents `z` `[b, d]` and times `t` (`[b, 1]`, or `[1, 1]` for one time common to the
    /// batch).
    pub fn forward(&self, fused: Tensor<2>, z: Tensor<2>, t: Tensor<2>) -> Tensor<2> {
        let label = self.label_encoder.forward(z);
        let time = self.time_encoder.forward(t);
        let width = label.dims()[1];
        let label = label.matmul(self.head.weight_rows(width, width));
        let time = time.matmul(self.head.weight_rows(2 * width, width));
        self.head.after_first(fused + label + time)
    }
}

/// The encoder of z_t: latents `[b, d]` → encodings `[b, embed_dim]`.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // One value per model; boxing would only obscure it.
enum LabelEncoder {
    Linear(Linear),
    Residual((Linear, Linear)),
    Image(LatentImage),
}

impl LabelEncoder {
    fn new(config: &ModelConfig, device: &Device) -> Self {
        let (d, width) = (config.latent_dim(), config.embed_dim);
        let linear = || LinearConfig::new(d, width).init(device);
        match config.label_encoder {
            LabelEncoderConfig::Linear => Self::Linear(linear()),
            LabelEncoderConfig::Residual => Self::Residual((linear(), linear())),
            LabelEncoderConfig::Image => Self::Image(LatentImage::new(config, device)),
        }
    }

    fn forward(&self, z: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Linear(linear) => relu(linear.forward(z)),
            Self::Residual((first, second)) => z.clone() + second.forward(relu(first.forward(z))),
            Self::Image(module) => module.forward(z),
        }
    }
}

/// The encoder of t: sinusoidal embedding, linear layer, ReLU; times `[n, 1]` → encodings `[n, embed_dim]`.
#[derive(Module, Debug)]
struct TimeEncoder {
    linear: Linear,
    dim: usize,
    scale: f64,
}

impl TimeEncoder {
    fn new(config: &ModelConfig, device: &Device) -> Self {
        Self {
            linear: LinearConfig::new(config.time_dim, config.embed_dim).init(device),
            dim: config.time_dim,
            scale: config.time_scale,
        }
    }

    fn forward(&self, t: Tensor<2>) -> Tensor<2> {
        relu(
            self.linear
                .forward(sinusoidal_embedding(t.mul_scalar(self.scale), self.dim)),
        )
    }
}

/// The sinusoidal embedding `[n, dim]` of times `t` `[n, 1]`: sin and cos of t·10000^(−i/(dim/2 − 1)) for
/// i = 0 … dim/2 − 1, as in the function `sinusoidal_embedding` of the reference. `dim` is even and at least 4.
pub fn sinusoidal_embedding(t: Tensor<2>, dim: usize) -> Tensor<2> {
    let half = dim / 2;
    let frequencies: Vec<f32> = (0..half)
        .map(|i| libm::pow(10_000.0, -(i as f64) / (half as f64 - 1.0)) as f32)
        .collect();
    let frequencies = Tensor::<2>::from_data(TensorData::new(frequencies, [1, half]), &t.device());
    let angles = t * frequencies;
    Tensor::cat(vec![angles.clone().sin(), angles.cos()], 1)
}

/// The head of a denoiser or block: linear → ReLU → linear → ReLU → linear on the encodings side by side,
/// with BatchNorm after the first two linear layers if the configuration asks for it.
#[derive(Module, Debug)]
pub(crate) struct Head {
    fc1: Linear,
    bn1: Option<BatchNorm>,
    fc2: Linear,
    bn2: Option<BatchNorm>,
    fc3: Linear,
}

impl Head {
    /// A head on `encodings` encodings of width `embed_dim`, the features first, with `outputs` outputs.
    pub(crate) fn new(
        config: &ModelConfig,
        encodings: usize,
        outputs: usize,
        device: &Device,
    ) -> Self {
        let [first, second] = config.head.hidden;
        let norm = |width| {
            config
                .head
                .batch_norm
                .then(|| BatchNormConfig::new(width).init(device))
        };
        Self {
            fc1: LinearConfig::new(encodings * config.embed_dim, first).init(device),
            bn1: norm(first),
            fc2: LinearConfig::new(first, second).init(device),
            bn2: norm(second),
            fc3: LinearConfig::new(second, outputs).init(device),
        }
    }

    /// The features' share `[b, hidden]` of the first layer, its bias included, from `features` `[b, embed_dim]`.
    pub(crate) fn fuse_features(&self, features: Tensor<2>) -> Tensor<2> {
        let width = features.dims()[1];
        let share = features.matmul(self.weight_rows(0, width));
        match &self.fc1.bias {
            Some(bias) => share + bias.val().unsqueeze::<2>(),
            None => share,
        }
    }

    /// The rows `start .. start + count` of the weight of the first layer, `[count, hidden]`.
    pub(crate) fn weight_rows(&self, start: usize, count: usize) -> Tensor<2> {
        self.fc1.weight.val().narrow(0, start, count)
    }

    /// The class logits `[b, m]`, or the velocity `[b, d]` of full rank, from the output of the first layer
    /// `[b, hidden]`.
    pub(crate) fn after_first(&self, x: Tensor<2>) -> Tensor<2> {
        let x = relu(normalise(&self.bn1, x));
        let x = relu(normalise(&self.bn2, self.fc2.forward(x)));
        self.fc3.forward(x)
    }
}

fn normalise(norm: &Option<BatchNorm>, x: Tensor<2>) -> Tensor<2> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}

/// The encoder of latents that are images (figure 6 with d = image size): a convolutional network like that
/// of the paper for the image, latents `[b, c·h·w]` → encodings `[b, embed_dim]`. It has no dropout: z itself
/// is noisy in every step.
#[derive(Module, Debug)]
pub(crate) struct LatentImage {
    cnn: Cnn,
    #[module(skip)]
    input: [usize; 3],
}

impl LatentImage {
    pub(crate) fn new(config: &ModelConfig, device: &Device) -> Self {
        let cnn = match &config.backbone {
            BackboneConfig::Cnn(config) => config.clone(),
            BackboneConfig::Resnet(_) | BackboneConfig::Airbench(_) => CnnConfig::default(),
        };
        Self {
            cnn: cnn.init(config.input, config.embed_dim, device),
            input: config.input,
        }
    }

    /// The encodings after the last ReLU.
    pub(crate) fn forward(&self, z: Tensor<2>) -> Tensor<2> {
        self.cnn.forward(self.image(z), &mut Dropout::Off)
    }

    /// The encodings before the last ReLU; a block of NoProp-DT applies its BatchNorm to them.
    pub(crate) fn project(&self, z: Tensor<2>) -> Tensor<2> {
        self.cnn.project(self.image(z), &mut Dropout::Off)
    }

    /// The latents as images `[b, c, h, w]`.
    fn image(&self, z: Tensor<2>) -> Tensor<4> {
        let [c, h, w] = self.input;
        let b = z.dims()[0];
        z.reshape([b, c, h, w])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::initialised;
    use crate::noise::{NoiseSource, Purpose};

    #[test]
    fn sinusoidal_embedding_has_the_references_values() {
        let t = Tensor::<2>::from_data([[0.5_f32]], &Device::flex());
        let out = sinusoidal_embedding(t, 4)
            .into_data()
            .try_to_vec::<f32>()
            .unwrap();
        // Frequencies 1 and 10⁻⁴.
        let expected = [0.5_f64.sin(), 5e-5_f64.sin(), 0.5_f64.cos(), 5e-5_f64.cos()];
        for (a, b) in out.iter().zip(expected) {
            assert!((f64::from(*a) - b).abs() < 1e-7, "{a} against {b}");
        }
    }

    #[test]
    fn splitting_the_first_layer_changes_nothing() {
        let device = Device::flex();
        let config = ModelConfig {
            embed_dim: 8,
            ..Default::default()
        };
        let denoiser = initialised(&device, 1, || {
            Denoiser::new(&config, config.classes, &device)
        });
        let mut noise = NoiseSource::new(3, Purpose::Sampling, 0);
        let features = noise.normal_tensor([5, 8], &device);
        let z = noise.normal_tensor([5, 10], &device);
        let t = Tensor::<2>::full([1, 1], 0.3, &device);

        let split = denoiser.forward(
            denoiser.fuse_features(features.clone()),
            z.clone(),
            t.clone(),
        );
        let joined = Tensor::cat(
            vec![
                features,
                denoiser.label_encoder.forward(z),
                denoiser.time_encoder.forward(t).expand([5, 8]),
            ],
            1,
        );
        let whole = denoiser.head.after_first(denoiser.head.fc1.forward(joined));
        let difference = (split - whole).abs().max().into_scalar::<f32>();
        // The same 24 products in another order of summation.
        assert!(difference < 1e-5, "{difference}");
    }
}
