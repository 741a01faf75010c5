//! The part of a network that sees the image, and the process that it undoes.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};

use crate::backbone::Backbone;
use crate::block::Block;
use crate::config::ModelConfig;
use crate::denoiser::Denoiser;
use crate::dropout::Dropout;
use crate::embedding::{ClassEmbedding, Estimate};
use crate::schedule::{DiscreteSchedule, FlowPath, Gates, NoiseSchedule, SchedulePoint};

/// One backbone and one denoiser for all times: NoProp-CT, flow matching and the neural ODE.
#[derive(Module, Debug)]
pub struct Shared {
    /// The backbone, from images to features.
    pub backbone: Backbone,
    /// The denoiser, from features, z_t and t to class logits or to a velocity.
    pub denoiser: Denoiser,
}

/// The part of a network that sees the image.
#[derive(Debug, Clone, Copy)]
pub enum Network<'a> {
    /// One backbone and one denoiser for all times.
    Shared(&'a Shared),
    /// T blocks, one for each step, in the order of the walk.
    Blocks(&'a [Block]),
}

/// The process that a network is trained to undo, with the part of the network that undoes it. The process
/// decides how a walk goes from z_0 to z_1.
#[derive(Debug, Clone, Copy)]
pub enum Process<'a> {
    /// Diffusion in continuous time (NoProp-CT, and the reference).
    Diffusion(DiffusionModel<'a>),
    /// Diffusion in T steps, each with a block of its own (NoProp-DT).
    Discrete(DiscreteModel<'a>),
    /// A flow dz/dt = v(z, x, t) (NoProp-FM, and the neural ODE).
    Flow(FlowField<'a>, &'a FlowPath),
    /// T blocks in a row, each blended in by a learned gate (the paper's baseline).
    Gated(&'a [Block], &'a Gates),
    /// One evaluation of a classifier that sees no latents (the control).
    Direct(&'a Shared),
}

/// The kind of a [`Process`]. Samplers list the kinds that they serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessKind {
    /// Diffusion in continuous time.
    Diffusion,
    /// Diffusion in T steps, each with a block of its own.
    Discrete,
    /// A flow dz/dt = v(z, x, t).
    Flow,
    /// Blocks in a row, each blended in by a learned gate.
    Gated,
    /// One evaluation of a classifier that sees no latents.
    Direct,
}

impl ProcessKind {
    /// The process in words that complete “a model that was trained on …”.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Diffusion => "a diffusion process in continuous time",
            Self::Discrete => "a diffusion process in discrete steps, with a block for each",
            Self::Flow => "a flow without noise on the way",
            Self::Gated => "a walk through gated blocks without a noise schedule",
            Self::Direct => "a plain classifier without a walk",
        }
    }
}

/// The denoising network of a diffusion in continuous time.
#[derive(Debug, Clone, Copy)]
pub struct DiffusionModel<'a> {
    /// The backbone and the denoiser.
    pub shared: &'a Shared,
    /// The noise schedule γ(t).
    pub schedule: &'a NoiseSchedule,
    /// Whether the logits are the sum of the network's output and of the known term
    /// [`ClassEmbedding::latent_logits`].
    pub skip: bool,
}

/// The denoising blocks of a diffusion in T steps.
#[derive(Debug, Clone, Copy)]
pub struct DiscreteModel<'a> {
    /// The blocks, one for each step, in the order of the walk.
    pub blocks: &'a [Block],
    /// The noise schedule ᾱ_0 < … < ᾱ_T.
    pub schedule: &'a DiscreteSchedule,
    /// Whether the logits of a block are the sum of its output and of the known term
    /// [`ClassEmbedding::latent_logits`].
    pub skip: bool,
}

/// The velocity field of a flow.
#[derive(Debug, Clone, Copy)]
pub struct FlowField<'a> {
    /// The backbone and the denoiser.
    pub shared: &'a Shared,
    /// The class embeddings W_Embed.
    pub class_embedding: &'a ClassEmbedding,
    /// Whether the denoiser gives the velocity itself, d numbers, rather than m weights of the class
    /// embeddings (the “unrestricted weights” of the paper).
    pub full_rank: bool,
}

/// The features of a batch of images: the contribution of each image to every step of its walk, computed
/// once. In a network with T blocks the features of all blocks stand side by side.
#[derive(Debug, Clone)]
pub struct Features {
    /// The output of the backbone, `[b, embed_dim]`; with blocks `[b, T·embed_dim]`.
    pub values: Tensor<2>,
    /// The features' share of the first layer of the denoiser's head, `[b, hidden]`; with blocks `[b, T·hidden]`.
    pub fused: Tensor<2>,
}

impl Features {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.values.dims()[0]
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These features with each row repeated `times` times in succession, for many noise seeds of one image.
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

impl Shared {
    pub(crate) fn new(config: &ModelConfig, outputs: usize, device: &Device) -> Self {
        Self {
            backbone: config.backbone.init(config.input, config.embed_dim, device),
            denoiser: Denoiser::new(config, outputs, device),
        }
    }

    /// The features of normalised images `[b, c, h, w]`, with dropout if the backbone has it.
    pub fn features(&self, images: Tensor<4>, dropout: &mut Dropout) -> Features {
        self.prepare(self.backbone.forward(images, dropout))
    }

    /// The features with the given output of the backbone, `[b, embed_dim]`.
    pub fn prepare(&self, values: Tensor<2>) -> Features {
        Features {
            fused: self.denoiser.fuse_features(values.clone()),
            values,
        }
    }

    /// The class logits `[b, m]` of a classifier that sees no latents: the output of the denoiser at z = 0 and
    /// t = 0.
    pub fn class_logits(&self, features: &Features) -> Tensor<2> {
        let device = features.fused.device();
        let z = Tensor::zeros([1, self.denoiser.latent_dim()], &device);
        self.output(features, z, Tensor::zeros([1, 1], &device))
    }

    /// The output of the denoiser at latents `z` `[b, d]` and times `t` (`[b, 1]`, or `[1, 1]` for one time
    /// common to the batch): class logits `[b, m]`, or a velocity `[b, d]` of full rank.
    pub fn output(&self, features: &Features, z: Tensor<2>, t: Tensor<2>) -> Tensor<2> {
        self.denoiser.forward(features.fused.clone(), z, t)
    }
}

impl Network<'_> {
    /// The features of normalised images `[b, c, h, w]`, with dropout if the backbone has it.
    pub fn features(self, images: Tensor<4>, dropout: &mut Dropout) -> Features {
        match self {
            Self::Shared(shared) => shared.features(images, dropout),
            Self::Blocks(blocks) => {
                let values = blocks
                    .iter()
                    .map(|block| block.features(images.clone(), dropout));
                self.prepare(Tensor::cat(values.collect(), 1))
            }
        }
    }

    /// The features with the given output of the backbone, `[b, embed_dim]`, or of the backbones of all
    /// blocks side by side, `[b, T·embed_dim]`.
    pub fn prepare(self, values: Tensor<2>) -> Features {
        match self {
            Self::Shared(shared) => shared.prepare(values),
            Self::Blocks(blocks) => {
                let width = values.dims()[1] / blocks.len();
                let fused = blocks.iter().enumerate().map(|(t, block)| {
                    block.fuse_features(values.clone().narrow(1, t * width, width))
                });
                Features {
                    fused: Tensor::cat(fused.collect(), 1),
                    values,
                }
            }
        }
    }
}

impl DiffusionModel<'_> {
    /// The class logits `[b, m]` at latents `z` `[b, d]` and times `t` (`[b, 1]`, or `[1, 1]` for one time
    /// common to the batch).
    pub fn logits(
        &self,
        class_embedding: &ClassEmbedding,
        features: &Features,
        z: Tensor<2>,
        t: Tensor<2>,
    ) -> Tensor<2> {
        let logits = self.shared.output(features, z.clone(), t.clone());
        match self.skip {
            true => logits + class_embedding.latent_logits(z, &self.schedule.at(t)),
            false => logits,
        }
    }
}

impl DiscreteModel<'_> {
    /// The output `[b, m]` of block `step` (from 0) at latents `z` `[b, d]`. With the skip connection it
    /// estimates log p(y|x), up to a constant of each row.
    pub fn own_logits(&self, features: &Features, z: Tensor<2>, step: usize) -> Tensor<2> {
        block_output(self.blocks, features, z, step)
    }

    /// The class logits `[b, m]` of block `step` (from 0) at latents `z` `[b, d]`.
    pub fn logits(
        &self,
        class_embedding: &ClassEmbedding,
        features: &Features,
        z: Tensor<2>,
        step: usize,
    ) -> Tensor<2> {
        let logits = self.own_logits(features, z.clone(), step);
        if !self.skip {
            return logits;
        }
        let t = step as f32 / self.blocks.len() as f32;
        let now = self.schedule.at(Tensor::full([1, 1], t, &z.device()));
        logits + class_embedding.latent_logits(z, &now)
    }
}

/// The output `[b, m]` of block `step` (from 0) of `blocks` at latents `z` `[b, d]`.
fn block_output(blocks: &[Block], features: &Features, z: Tensor<2>, step: usize) -> Tensor<2> {
    let hidden = features.fused.dims()[1] / blocks.len();
    let fused = features.fused.clone().narrow(1, step * hidden, hidden);
    blocks[step].forward(fused, z)
}

impl FlowField<'_> {
    /// The velocity v(z, x, t) `[b, d]` at latents `z` `[b, d]` and times `t` (`[b, 1]`, or `[1, 1]` for one
    /// time common to the batch). It is the output of the denoiser if that has full rank, output·W_Embed
    /// otherwise.
    pub fn velocity(&self, features: &Features, z: Tensor<2>, t: Tensor<2>) -> Tensor<2> {
        let output = self.shared.output(features, z, t);
        match self.full_rank {
            true => output,
            false => self.class_embedding.combine(output),
        }
    }
}

impl<'a> Process<'a> {
    /// The part of the network that sees the image: one backbone and denoiser, or blocks.
    pub fn network(self) -> Network<'a> {
        match self {
            Self::Diffusion(model) => Network::Shared(model.shared),
            Self::Direct(shared) => Network::Shared(shared),
            Self::Flow(field, _) => Network::Shared(field.shared),
            Self::Discrete(model) => Network::Blocks(model.blocks),
            Self::Gated(blocks, _) => Network::Blocks(blocks),
        }
    }

    /// The noise process at times `t` `[n, 1]`; `None` for gated blocks and a plain classifier, which have no
    /// noise schedule.
    pub fn schedule_at(self, t: Tensor<2>) -> Option<SchedulePoint> {
        match self {
            Self::Diffusion(model) => Some(model.schedule.at(t)),
            Self::Discrete(model) => Some(model.schedule.at(t)),
            Self::Flow(_, path) => Some(path.at(t)),
            Self::Gated(..) | Self::Direct(_) => None,
        }
    }

    /// The estimate of the network at latents `z` `[b, d]` at the beginning of step `step` (from 0) of a
    /// walk, at times `t` (`[b, 1]`, or `[1, 1]` for one time common to the batch). Blocks are chosen by
    /// `step` and ignore `t`; a denoiser for all times is evaluated at `t` and ignores `step`.
    pub fn estimate(
        self,
        class_embedding: &ClassEmbedding,
        features: &Features,
        z: Tensor<2>,
        step: usize,
        t: Tensor<2>,
    ) -> Estimate {
        match self {
            Self::Diffusion(model) => {
                class_embedding.estimate(model.logits(class_embedding, features, z, t))
            }
            Self::Direct(shared) => class_embedding.estimate(shared.class_logits(features)),
            Self::Flow(field, _) => {
                let velocity = field.velocity(features, z.clone(), t.clone());
                let u_hat = z + t.neg().add_scalar(1.0) * velocity;
                Estimate {
                    logits: class_embedding.nearness(u_hat.clone()),
                    u_hat,
                }
            }
            Self::Discrete(model) => {
                class_embedding.estimate(model.logits(class_embedding, features, z, step))
            }
            Self::Gated(blocks, _) => {
                class_embedding.estimate(block_output(blocks, features, z, step))
            }
        }
    }
}

/// An output head with initial logits `scale` z·u_y; `embeddings` are the class embeddings, `[classes, d]`
/// row-major. From random weights training would first have to find which direction belongs to which class.
pub(crate) fn inner_product_head(
    embeddings: &[f32],
    classes: usize,
    scale: f64,
    device: &Device,
) -> Linear {
    let d = embeddings.len() / classes;
    let transposed: Vec<f32> = (0..d * classes)
        .map(|i| (scale * f64::from(embeddings[i % classes * d + i / classes])) as f32)
        .collect();
    let weight = Tensor::from_data(TensorData::new(transposed, [d, classes]), device);
    let bias = Tensor::zeros([classes], device);
    Linear {
        weight: Param::from_tensor(weight),
        bias: Some(Param::from_tensor(bias)),
    }
}
