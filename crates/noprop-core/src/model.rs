//! The network: one backbone and one denoiser, or T blocks; class embeddings, a schedule and an output
//! head.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};

use crate::backbone::Backbone;
use crate::block::Block;
use crate::config::{ModelConfig, Readout};
use crate::denoiser::Denoiser;
use crate::dropout::Dropout;
use crate::embedding::{ClassEmbedding, ClassEmbeddingConfig};
use crate::error::ConfigError;
use crate::generator::initialised;
use crate::schedule::NoiseSchedule;

/// A NoProp network. The schedule says which: with one backbone and one denoiser for all times
/// NoProp-CT, or NoProp-FM on the path [`Flow`](NoiseSchedule::Flow); with a block for each of T steps
/// NoProp-DT, on the table [`Cosine`](NoiseSchedule::Cosine).
///
/// Clone it freely: parameters are shared until they change.
#[derive(Module, Debug)]
pub struct NoProp {
    /// Image → features; absent in NoProp-DT.
    pub backbone: Option<Backbone>,
    /// (features, z_t, t) → class logits; absent in NoProp-DT.
    pub denoiser: Option<Denoiser>,
    /// The blocks of NoProp-DT in the order of the walk, T of them; else none.
    pub blocks: Vec<Block>,
    /// W_Embed.
    pub class_embedding: ClassEmbedding,
    /// γ(t).
    pub schedule: NoiseSchedule,
    /// p̂_out where it is a linear layer on z_1, or anchors the learned embeddings of flow matching;
    /// else absent.
    pub output_head: Option<Linear>,
    #[module(skip)]
    config: ModelConfig,
}

/// What the image contributes to every step of a trajectory; computed once. In NoProp-DT what it
/// contributes to each block, side by side: T times as wide.
#[derive(Debug, Clone)]
pub struct Features {
    /// The backbone's output, `[b, embed_dim]`; in NoProp-DT `[b, T·embed_dim]`.
    pub values: Tensor<2>,
    /// Their share of the denoiser's first layer, `[b, hidden]`; in NoProp-DT `[b, T·hidden]`.
    pub fused: Tensor<2>,
}

impl Features {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.values.dims()[0]
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each row `times` times in a row: many noise seeds for one image.
    pub fn repeat(&self, times: usize) -> Self {
        let repeat = |x: &Tensor<2>| {
            let [b, n] = x.dims();
            x.clone()
                .unsqueeze_dim::<3>(1)
                .expand([b, times, n])
                .reshape([b * times, n])
        };
        Self {
            values: repeat(&self.values),
            fused: repeat(&self.fused),
        }
    }
}

/// What the denoiser says at one time.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// Class logits, `[b, m]`; in flow matching those of û by distance.
    pub logits: Tensor<2>,
    /// û = softmax(logits)·W_Embed, `[b, d]`; in flow matching z̃_1 = z + (1 − t) v.
    pub u_hat: Tensor<2>,
}

impl NoProp {
    /// A network with initial weights drawn from `seed` on `device`. Prototype embeddings start
    /// at zero; the trainer sets them from the data.
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub fn new(config: &ModelConfig, seed: u64, device: &Device) -> Result<Self, ConfigError> {
        config.validate()?;
        let (classes, d) = (config.classes, config.latent_dim());
        let values = config.class_embedding.initial_values(classes, d, seed);
        let anchored =
            config.schedule.is_flow() && config.class_embedding != ClassEmbeddingConfig::OneHot;
        let output_head = (config.readout.has_head() || anchored)
            .then(|| inner_product_head(&values, classes, device));
        let blocks: Vec<Block> = (0..config.blocks().unwrap_or(0))
            .map(|t| {
                // Weights of a block are a function of the seed and its place alone.
                let seed = seed ^ (t as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                initialised(device, seed, || Block::new(config, device))
            })
            .collect();
        let shared = blocks.is_empty();
        let backbone = || config.backbone.init(config.input, config.embed_dim, device);
        Ok(initialised(device, seed, || Self {
            backbone: shared.then(backbone),
            denoiser: shared.then(|| Denoiser::new(config, device)),
            blocks,
            class_embedding: config.class_embedding.init(values, classes, device),
            schedule: config.schedule.init(seed, device),
            output_head,
            config: config.clone(),
        }))
    }

    /// The same network with class embeddings `values`, `[classes, d]` row-major, and the output
    /// head that goes with them.
    pub fn with_class_embeddings(mut self, values: Vec<f32>) -> Self {
        let device = self.device();
        self.output_head = self
            .output_head
            .map(|_| inner_product_head(&values, self.config.classes, &device));
        self.class_embedding = self.class_embedding.set(values, &device);
        self
    }

    /// The configuration that it was built from.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> Device {
        self.class_embedding.weight.device()
    }

    /// Normalised images `[b, c, h, w]` → features, once per image, never per step.
    pub fn features(&self, images: Tensor<4>) -> Features {
        self.train_features(images, &mut Dropout::Off)
    }

    /// The same with dropout, where the backbone has it.
    pub fn train_features(&self, images: Tensor<4>, dropout: &mut Dropout) -> Features {
        self.prepare(match &self.backbone {
            Some(backbone) => backbone.forward(images, dropout),
            None => side_by_side(&self.blocks, |_, block| {
                block.features(images.clone(), dropout)
            }),
        })
    }

    /// Features from the backbone's output `[b, embed_dim]`; in NoProp-DT from those of all blocks,
    /// `[b, T·embed_dim]`.
    pub fn prepare(&self, values: Tensor<2>) -> Features {
        let fused = match &self.denoiser {
            Some(denoiser) => denoiser.fuse_features(values.clone()),
            None => side_by_side(&self.blocks, |t, block| {
                let width = self.config.embed_dim;
                block.fuse_features(values.clone().narrow(1, t * width, width))
            }),
        };
        Features { values, fused }
    }

    /// û of block `block` (from 0) at its latents z_{t−1} `[b, d]`.
    ///
    /// # Panics
    /// When there is no such block: see [`ModelConfig::blocks`].
    pub fn denoise_block(&self, features: &Features, block: usize, z: Tensor<2>) -> Estimate {
        let hidden = self.config.head.hidden[0];
        let fused = features.fused.clone().narrow(1, block * hidden, hidden);
        self.estimate(self.blocks[block].forward(fused, z))
    }

    /// The same from images `[b, c, h, w]`, with the one block that it takes and with dropout: a step
    /// of training.
    ///
    /// # Panics
    /// When there is no such block.
    pub fn train_block(
        &self,
        images: Tensor<4>,
        block: usize,
        z: Tensor<2>,
        dropout: &mut Dropout,
    ) -> Estimate {
        let block = &self.blocks[block];
        let fused = block.fuse_features(block.features(images, dropout));
        self.estimate(block.forward(fused, z))
    }

    fn estimate(&self, logits: Tensor<2>) -> Estimate {
        Estimate {
            u_hat: self.class_embedding.expectation(logits.clone()),
            logits,
        }
    }

    /// û at latents `z` `[b, d]` and times `t`, `[b, 1]` or one `[1, 1]` for all.
    ///
    /// # Panics
    /// In NoProp-DT, which has a block for each step: see [`Self::denoise_block`].
    pub fn denoise(&self, features: &Features, z: Tensor<2>, t: Tensor<2>) -> Estimate {
        if self.schedule.is_flow() {
            let velocity = self.velocity(features, z.clone(), t.clone());
            let u_hat = z + t.neg().add_scalar(1.0) * velocity;
            return Estimate {
                logits: self.class_embedding.nearness(u_hat.clone()),
                u_hat,
            };
        }
        self.estimate(self.logits_at(features, z, t))
    }

    /// v of a flow-matching network, shapes as in [`Self::denoise`] → `[b, d]`: logits·W_Embed (the
    /// paper's “unrestricted weights”), or what the last layer says with `head.full_rank`.
    pub fn velocity(&self, features: &Features, z: Tensor<2>, t: Tensor<2>) -> Tensor<2> {
        let out = self.logits_at(features, z, t);
        match self.config.head.full_rank {
            true => out,
            false => self.class_embedding.combine(out),
        }
    }

    /// What the one denoiser for all times says.
    fn logits_at(&self, features: &Features, z: Tensor<2>, t: Tensor<2>) -> Tensor<2> {
        match &self.denoiser {
            Some(denoiser) => denoiser.forward(features.fused.clone(), z, t),
            None => unreachable!("NoProp-DT has no denoiser for all times"),
        }
    }

    /// Class logits `[b, m]` of final latents `z_1` `[b, d]`.
    pub fn readout(&self, features: &Features, z_1: Tensor<2>) -> Tensor<2> {
        match (self.config.readout, &self.output_head) {
            (Readout::Nearest, _) => self.class_embedding.nearness(z_1),
            (Readout::Denoiser, _) => {
                let one = Tensor::ones([1, 1], &z_1.device());
                self.denoise(features, z_1, one).logits
            }
            (_, Some(head)) => self.head_logits(head, z_1),
            (_, None) => z_1,
        }
    }

    /// p̂_out's logits `[b, m]` by the linear layer `head`, of latents `z` `[b, d]`.
    pub(crate) fn head_logits(&self, head: &Linear, z: Tensor<2>) -> Tensor<2> {
        let logits = head.forward(z);
        match self.config.readout {
            Readout::Posterior => {
                let expected = self.class_embedding.expectation(logits);
                self.class_embedding.nearness(expected)
            }
            _ => logits,
        }
    }

    /// The denoiser's estimate at t = 0 from `z` alone, without a trajectory: `[b, m]` logits.
    pub fn one_step(&self, features: &Features, z: Tensor<2>) -> Tensor<2> {
        if self.denoiser.is_none() {
            return self.denoise_block(features, 0, z).logits;
        }
        let zero = Tensor::from_data(TensorData::zeros::<f32, _>([1, 1]), &z.device());
        self.denoise(features, z, zero).logits
    }
}

/// What `of` gives for each block, `[b, n]` each, as `[b, T·n]`.
fn side_by_side(blocks: &[Block], mut of: impl FnMut(usize, &Block) -> Tensor<2>) -> Tensor<2> {
    let parts = blocks.iter().enumerate().map(|(t, block)| of(t, block));
    Tensor::cat(parts.collect(), 1)
}

/// The output head's initial weights: logits z·u_y, the direction of the Bayes-optimal head
/// √ᾱ(1)/(1−ᾱ(1)) z·u_y for q(z_1|y) with embeddings of equal norm. Training finds the scale;
/// from random weights it would first have to find which coordinate belongs to which class.
fn inner_product_head(embeddings: &[f32], classes: usize, device: &Device) -> Linear {
    let d = embeddings.len() / classes;
    let transposed: Vec<f32> = (0..d * classes)
        .map(|i| embeddings[i % classes * d + i / classes])
        .collect();
    let weight = Tensor::from_data(TensorData::new(transposed, [d, classes]), device);
    let bias = Tensor::zeros([classes], device);
    Linear {
        weight: Param::from_tensor(weight),
        bias: Some(Param::from_tensor(bias)),
    }
}
