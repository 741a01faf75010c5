//! The network: the class embeddings and the parts that its method needs.

use burn::module::Module;
#[cfg(feature = "train")]
use burn::optim::GradientsParams;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};

use crate::config::ModelConfig;
use crate::dropout::Dropout;
use crate::embedding::{ClassEmbedding, Estimate};
use crate::error::{ConfigError, WalkError};
use crate::method::{Batch, Loss, Method, Parts};
use crate::network::{Features, Network, Process, inner_product_head};
use crate::sampler::{SeenLatents, StepNoise, Walk, WalkContext, probability_flow_velocity};
use crate::schedule::SchedulePoint;

/// A NoProp network: the class embeddings W_Embed and the parts that its [`Method`] needs.
///
/// A clone is cheap: parameters are shared until they change.
#[derive(Module, Debug)]
pub struct NoProp {
    /// The parts that the method needs: backbone and denoiser or blocks, noise schedule, output head.
    pub parts: Parts,
    /// The class embeddings W_Embed.
    pub class_embedding: ClassEmbedding,
    #[module(skip)]
    method: Method,
    #[module(skip)]
    config: ModelConfig,
}

impl NoProp {
    /// A network of architecture `config` for `method`, with initial weights drawn from `seed` on
    /// `device`. Prototype embeddings start at zero; the trainer sets them from the data.
    ///
    /// # Errors
    /// When a value of the method or of the architecture is out of its range, or the two do not go
    /// together.
    pub fn new(
        method: &Method,
        config: &ModelConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        method.validate(config)?;
        let (classes, d) = (config.classes, config.latent_dim());
        let embeddings = config.class_embedding.initial_values(classes, d, seed);
        Ok(Self {
            parts: Parts::new(method, config, &embeddings, seed, device),
            class_embedding: config.class_embedding.init(embeddings, classes, device),
            method: method.clone(),
            config: config.clone(),
        })
    }

    /// This network with class embeddings `values`, `[classes, d]` row-major, and with an output head that is
    /// initialised for them.
    pub fn with_class_embeddings(mut self, values: Vec<f32>) -> Self {
        let device = self.device();
        if let Some(head) = self.parts.output_head_mut() {
            *head = inner_product_head(&values, self.config.classes, 1.0, &device);
        }
        self.class_embedding = self.class_embedding.set(values, &device);
        self
    }

    /// The method by which the network is trained.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The architecture of the network.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> Device {
        self.class_embedding.weight.device()
    }

    /// The process that the network is trained to undo.
    pub fn process(&self) -> Process<'_> {
        self.parts.process(&self.class_embedding)
    }

    /// The part of the network that sees the image: one backbone and denoiser, or blocks.
    pub fn network(&self) -> Network<'_> {
        self.process().network()
    }

    /// The loss of the method on `batch`.
    pub fn loss(&self, batch: Batch) -> Loss {
        self.parts.loss(&self.class_embedding, batch)
    }

    /// The gradients of the loss of `batch`, and the loss. They come from back-propagation of [`Self::loss`];
    /// only those of method "adjoint" come from solving the adjoint equation. The network must be on an
    /// autodiff device.
    #[cfg(feature = "train")]
    pub fn gradients(&self, batch: Batch) -> (GradientsParams, Loss) {
        self.parts.gradients(self, &self.class_embedding, batch)
    }

    /// The features of normalised images `[b, c, h, w]`. They are computed once for each image and serve all
    /// steps of its walks.
    pub fn features(&self, images: Tensor<4>) -> Features {
        self.network().features(images, &mut Dropout::Off)
    }

    /// The features with the given output of the backbone, `[b, embed_dim]`, or of the backbones of all
    /// blocks side by side, `[b, T·embed_dim]`.
    pub fn prepare(&self, values: Tensor<2>) -> Features {
        self.network().prepare(values)
    }

    /// The estimate of the network at latents `z` `[b, d]` and time `t` in [0, 1]. A network with blocks
    /// evaluates the block of the step in which `t` lies.
    pub fn estimate(&self, features: &Features, z: Tensor<2>, t: f32) -> Estimate {
        let step = match self.network() {
            Network::Blocks(blocks) => ((t * blocks.len() as f32) as usize).min(blocks.len() - 1),
            Network::Shared(_) => 0,
        };
        let t = Tensor::full([1, 1], t, &z.device());
        self.estimate_at_step(features, z, step, t)
    }

    /// The estimate of the network at latents `z` `[b, d]` at the beginning of step `step` (from 0) of a
    /// walk, at times `t` (`[b, 1]`, or `[1, 1]` for one time common to the batch). A network with blocks
    /// evaluates block `step` and ignores `t`; one with a denoiser for all times evaluates it at `t` and
    /// ignores `step`.
    pub fn estimate_at_step(
        &self,
        features: &Features,
        z: Tensor<2>,
        step: usize,
        t: Tensor<2>,
    ) -> Estimate {
        let process = self.process();
        process.estimate(&self.class_embedding, features, z, step, t)
    }

    /// The class probabilities `[T + 1, m]` of the estimates at the recorded `latents` `[T + 1, d]` of the
    /// walk `walk` of one image. In a network with blocks no block follows z_1; there they are the
    /// probabilities of the readout.
    pub fn beliefs(&self, features: &Features, latents: Tensor<2>, walk: &Walk) -> Tensor<2> {
        let states = latents.dims()[0];
        let row = |k: usize| latents.clone().narrow(0, k, 1);
        let times = self.times(walk);
        let logits = match self.network() {
            Network::Shared(_) => {
                let features = features.repeat(states);
                let estimate = self.estimate_at_step(&features, latents, 0, times);
                estimate.logits
            }
            Network::Blocks(blocks) => {
                let of_block = |k: usize| {
                    let t = times.clone().narrow(0, k, 1);
                    self.estimate_at_step(features, row(k), k, t).logits
                };
                let mut rows: Vec<_> = (0..blocks.len().min(states - 1)).map(of_block).collect();
                rows.push(self.readout(features, row(states - 1)));
                Tensor::cat(rows, 0)
            }
        };
        softmax(logits, 1)
    }

    /// The class probabilities `[T + 1, m]` that z alone gives at the recorded `latents` `[T + 1, d]` of the walk
    /// `walk` of one image. On the way they are Bayes' rule at the noise level of each step, for equally likely
    /// classes; at the end they are those of the readout. For methods without a diffusion, and for those of the
    /// reference, they are those of the readout at every step.
    pub fn latent_beliefs(
        &self,
        features: &Features,
        latents: Tensor<2>,
        walk: &Walk,
    ) -> Tensor<2> {
        let states = latents.dims()[0];
        let readout = self.readout(&features.repeat(states), latents.clone());
        let is_diffusion = matches!(self.process(), Process::Diffusion(_) | Process::Discrete(_))
            && !matches!(self.parts, Parts::Reference(_));
        let logits = match self.schedule_at(self.times(walk)) {
            Some(now) if is_diffusion => {
                let on_the_way = self.class_embedding.latent_logits(latents, &now);
                let (last, m) = (states - 1, readout.dims()[1]);
                Tensor::cat(
                    vec![
                        on_the_way.slice([0..last, 0..m]),
                        readout.slice([last..states, 0..m]),
                    ],
                    0,
                )
            }
            _ => readout,
        };
        softmax(logits, 1)
    }

    /// The velocity `[n, d]` of latents `z` `[n, d]` at time `t` in [0, 1], and the estimate there. The
    /// velocity is dz/dλ of the probability-flow ODE for diffusion, dz/dt for a flow, and û − z for gated
    /// blocks and a plain classifier.
    pub fn velocity(&self, features: &Features, z: Tensor<2>, t: f32) -> (Tensor<2>, Estimate) {
        let estimate = self.estimate(features, z.clone(), t);
        let time = Tensor::full([1, 1], t, &z.device());
        let u_hat = estimate.u_hat.clone();
        let velocity = match self.process() {
            Process::Flow(field, _) => field.velocity(features, z, time),
            Process::Gated(..) | Process::Direct(_) => u_hat - z,
            Process::Diffusion(model) => {
                probability_flow_velocity(u_hat, z, model.schedule.at(time).alpha_bar)
            }
            Process::Discrete(model) => {
                probability_flow_velocity(u_hat, z, model.schedule.at(time).alpha_bar)
            }
        };
        (velocity, estimate)
    }

    /// The noise process at times `t` `[n, 1]`; `None` for methods "backprop" and "classifier", which have no
    /// noise schedule.
    pub fn schedule_at(&self, t: Tensor<2>) -> Option<SchedulePoint> {
        self.process().schedule_at(t)
    }

    /// The class logits `[b, m]` that the readout gives for final latents `z_1` `[b, d]`.
    pub fn readout(&self, features: &Features, z_1: Tensor<2>) -> Tensor<2> {
        self.parts.readout(&self.class_embedding, features, z_1)
    }

    /// The initial latents z_0 `[count, d]` of the images `first .. first + count`, bit-identical on every
    /// device.
    pub fn initial_latents(&self, walk: &Walk, first: usize, count: usize) -> Tensor<2> {
        walk.initial_latents(first, count, self.config.latent_dim(), &self.device())
    }

    /// Walks the images with these features from their z_0 to z_1 `[b, d]`, without reading back from the
    /// device. `first` is the index of the first image; the index of an image decides its noise.
    ///
    /// # Errors
    /// When `walk` does not suit the method.
    pub fn walk(
        &self,
        features: &Features,
        walk: &Walk,
        first: usize,
    ) -> Result<Tensor<2>, WalkError> {
        let z_0 = self.initial_latents(walk, first, features.len());
        self.walk_from(features, z_0, walk, first, &mut |_, _| {})
    }

    /// Walks from `z_0` `[b, d]`, and calls `observe(k, z)` after each step k = 1 … T.
    ///
    /// The network must be off the autodiff device ([`burn::module::Module::valid`]). `first` is the
    /// index of the first image; ancestral noise depends on it.
    ///
    /// # Errors
    /// When `walk` does not suit the method.
    pub fn walk_from(
        &self,
        features: &Features,
        z_0: Tensor<2>,
        walk: &Walk,
        first: usize,
        observe: &mut dyn FnMut(usize, &Tensor<2>),
    ) -> Result<Tensor<2>, WalkError> {
        let noise = StepNoise::streams(walk.seed, first, features.len());
        self.context(features, walk, noise)?.run(z_0, observe)
    }

    /// Walks from `z_0` `[b, d]` with the given noise of ancestral sampling, `[T, b, d]`; other samplers
    /// ignore it. With the noise of [`crate::noise::ancestral_noise`] the walk equals that of
    /// [`Self::walk_from`]. After each step k = 1 … T it calls `observe(k, z)`.
    ///
    /// # Errors
    /// When `walk` does not suit the method.
    pub fn walk_with_noise(
        &self,
        features: &Features,
        z_0: Tensor<2>,
        walk: &Walk,
        noise: Tensor<3>,
        observe: &mut dyn FnMut(usize, &Tensor<2>),
    ) -> Result<Tensor<2>, WalkError> {
        let noise = StepNoise::Given(noise);
        self.context(features, walk, noise)?.run(z_0, observe)
    }

    /// Walks as [`Self::walk`] does, but in every step the denoiser sees the latents that `seen` names in
    /// place of its own. If the result does not change, the denoiser ignores z.
    ///
    /// # Errors
    /// When `walk` does not suit the method.
    pub fn walk_seeing(
        &self,
        features: &Features,
        walk: &Walk,
        first: usize,
        seen: SeenLatents,
    ) -> Result<Tensor<2>, WalkError> {
        let z_0 = self.initial_latents(walk, first, features.len());
        let noise = StepNoise::streams(walk.seed, first, features.len());
        let context = self.context(features, walk, noise)?.seeing(seen);
        context.run(z_0, &mut |_, _| {})
    }

    /// The times t_0 = 0, …, t_T = 1 of `walk`, `[T + 1, 1]`.
    pub fn times(&self, walk: &Walk) -> Tensor<2> {
        walk.times(self.process(), &self.device())
    }

    fn context<'a>(
        &'a self,
        features: &'a Features,
        walk: &Walk,
        noise: StepNoise,
    ) -> Result<WalkContext<'a>, WalkError> {
        self.method.check_walk(walk)?;
        Ok(WalkContext::new(
            *walk,
            self.process(),
            &self.class_embedding,
            features,
            noise,
        ))
    }
}
