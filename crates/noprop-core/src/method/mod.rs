//! The methods. A [`Method`] is one value that decides the loss, the noise process, the readout and the
//! default walk, so that a recipe cannot combine them inconsistently. Each method is one file with its
//! settings, the parts that its network needs, and its loss.
//!
//! | method | file | paper |
//! |---|---|---|
//! | NoProp-CT, continuous-time diffusion | `ct.rs` | eq. 9 |
//! | NoProp-FM, flow matching | `fm.rs` | eq. 10–13 |
//! | NoProp-DT, a block for each step | `dt.rs` | eq. 8 |
//! | back-propagation through the blocks, a baseline | `backprop.rs` | §4 |
//! | a neural ODE by the adjoint equation, a baseline | `adjoint.rs` | §4 |
//! | a plain classifier by cross-entropy, the control | `classifier.rs` | – |
//! | the two scripts of yhgon/NoProp | `reference.rs` | – |

mod adjoint;
mod backprop;
mod batch;
mod classifier;
mod ct;
mod dt;
mod fm;
mod initialisation;
mod reference;

use burn::module::Module;
use burn::nn::Linear;
#[cfg(feature = "train")]
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use adjoint::{Adjoint, AdjointParts};
pub use backprop::{Backprop, BackpropParts};
pub use batch::{Batch, Draws, HostDraws, Loss, TimeSampling};
pub use classifier::{PlainClassifier, PlainClassifierParts};
pub use ct::{Ct, CtParts, DenoisingLoss, Weighting};
pub use dt::{BlockReadout, Dt, DtParts};
pub use fm::{Fm, FmParts};
pub use reference::{Reference, ReferenceParts};

use initialisation::Initialisation;

use crate::backbone::Backbone;
use crate::config::ModelConfig;
use crate::embedding::ClassEmbedding;
use crate::error::{ConfigError, WalkError};
use crate::network::{Features, Process, ProcessKind};
use crate::sampler::{ANCESTRAL, DIRECT, EULER, GATED, HEUN, REFERENCE_HEUN, Walk};

/// The method by which a network is trained and walks: the section `[method]` of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Method {
    /// NoProp-CT: continuous-time diffusion (eq. 9).
    Ct(Ct),
    /// NoProp-FM: flow matching (eq. 10–13).
    Fm(Fm),
    /// NoProp-DT: discrete-time diffusion, a block for each step (eq. 8).
    Dt(Dt),
    /// A baseline of the paper: back-propagation through the blocks in a row (§4).
    Backprop(Backprop),
    /// A baseline of the paper: a neural ODE trained by the adjoint equation (§4).
    Adjoint(Adjoint),
    /// The control: a plain classifier, trained by cross-entropy alone.
    Classifier(PlainClassifier),
    /// The formulas of `nopropct_mnist.py` of yhgon/NoProp, the reference.
    ReferenceMnist(Reference),
    /// The formulas of `noprop_simple.py` of yhgon/NoProp, the reference.
    ReferenceSimple(Reference),
}

impl Default for Method {
    fn default() -> Self {
        Self::Ct(Ct::default())
    }
}

fn one() -> f64 {
    1.0
}

fn one_draw() -> usize {
    1
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn default_steps() -> usize {
    10
}

impl Method {
    /// The name of the method, as `kind` in a recipe.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ct(_) => "ct",
            Self::Fm(_) => "fm",
            Self::Dt(_) => "dt",
            Self::Backprop(_) => "backprop",
            Self::Adjoint(_) => "adjoint",
            Self::Classifier(_) => "classifier",
            Self::ReferenceMnist(_) => "reference-mnist",
            Self::ReferenceSimple(_) => "reference-simple",
        }
    }

    /// The kind of process that the network is trained to undo. It decides which samplers serve the method.
    pub fn process(&self) -> ProcessKind {
        match self {
            Self::Ct(_) | Self::ReferenceMnist(_) | Self::ReferenceSimple(_) => {
                ProcessKind::Diffusion
            }
            Self::Dt(_) => ProcessKind::Discrete,
            Self::Fm(_) | Self::Adjoint(_) => ProcessKind::Flow,
            Self::Backprop(_) => ProcessKind::Gated,
            Self::Classifier(_) => ProcessKind::Direct,
        }
    }

    /// The number of blocks, if the network has a block for each step; it then walks in that number of steps
    /// only.
    pub fn blocks(&self) -> Option<usize> {
        match self {
            Self::Dt(dt) => Some(dt.steps),
            Self::Backprop(backprop) => Some(backprop.steps),
            _ => None,
        }
    }

    /// The number of blocks, if each block is trained by a loss of its own; `None` if one loss reaches the
    /// whole network.
    pub fn independent_blocks(&self) -> Option<usize> {
        match self {
            Self::Dt(dt) => Some(dt.steps),
            _ => None,
        }
    }

    /// The default walk: the sampler and T of the paper or, for its methods, of the reference.
    pub fn default_walk(&self) -> Walk {
        let (sampler, steps) = match self {
            Self::Ct(_) => (HEUN, 40),
            Self::Fm(_) => (EULER, 40),
            Self::Dt(dt) => (ANCESTRAL, dt.steps),
            Self::Backprop(backprop) => (GATED, backprop.steps),
            Self::Adjoint(adjoint) => (EULER, adjoint.steps),
            Self::Classifier(_) => (DIRECT, 1),
            Self::ReferenceMnist(_) | Self::ReferenceSimple(_) => (REFERENCE_HEUN, 40),
        };
        Walk::new(sampler, steps)
    }

    /// Checks that `walk` suits the method.
    ///
    /// # Errors
    /// When the sampler does not serve the process of the method, T is not the number of blocks, or a value
    /// is out of range.
    pub fn check_walk(&self, walk: &Walk) -> Result<(), WalkError> {
        walk.check(self.name(), self.process(), self.blocks())
    }

    /// The distribution of the times of a batch.
    pub fn time_sampling(&self) -> TimeSampling {
        match self {
            Self::Ct(ct) => ct.time_sampling,
            _ => TimeSampling::Uniform,
        }
    }

    /// The number K of pairs of a time t and noise ε for each image of a batch.
    pub fn draws(&self) -> usize {
        match self {
            Self::Ct(ct) => ct.draws,
            _ => 1,
        }
    }

    /// Checks every value, and that the architecture suits the method.
    ///
    /// # Errors
    /// The first value or combination that does not fit, with what was expected.
    pub fn validate(&self, model: &ModelConfig) -> Result<(), ConfigError> {
        match self {
            Self::Ct(ct) => ct.validate(),
            Self::Fm(fm) => fm.validate(),
            Self::Dt(dt) => dt.validate(model),
            Self::Backprop(backprop) => backprop.validate(model),
            Self::Adjoint(adjoint) => adjoint.validate(model),
            Self::Classifier(classifier) => classifier.validate(),
            Self::ReferenceMnist(reference) => reference.validate_mnist(model),
            Self::ReferenceSimple(reference) => reference.validate(),
        }
    }

    /// The number of hidden units of γ̃; 0 if γ̃ is not learned.
    pub(crate) fn schedule_hidden(&self) -> usize {
        match self {
            Self::Ct(ct) => ct.schedule.hidden(),
            Self::ReferenceMnist(reference) | Self::ReferenceSimple(reference) => reference.hidden,
            _ => 0,
        }
    }
}

/// The parts of a network that depend on its method.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // One value per network; boxing would only obscure it.
pub enum Parts {
    /// The parts for NoProp-CT.
    Ct(CtParts),
    /// The parts for NoProp-FM.
    Fm(FmParts),
    /// The parts for NoProp-DT.
    Dt(DtParts),
    /// The parts for method "backprop".
    Backprop(BackpropParts),
    /// The parts for method "adjoint".
    Adjoint(AdjointParts),
    /// The parts for method "classifier".
    Classifier(PlainClassifierParts),
    /// The parts for the methods of the reference.
    Reference(ReferenceParts),
}

impl Parts {
    /// The parts that `method` needs for the architecture `config`, with initial weights. `embeddings`
    /// are W_Embed's initial values, `[classes, d]` row-major.
    pub(crate) fn new(
        method: &Method,
        config: &ModelConfig,
        embeddings: &[f32],
        seed: u64,
        device: &Device,
    ) -> Self {
        let start = Initialisation {
            config,
            embeddings,
            seed,
            device,
        };
        match method {
            Method::Ct(ct) => Self::Ct(CtParts::new(ct, start)),
            Method::Fm(fm) => Self::Fm(FmParts::new(fm, start)),
            Method::Dt(dt) => Self::Dt(DtParts::new(dt, start)),
            Method::Backprop(backprop) => Self::Backprop(BackpropParts::new(backprop, start)),
            Method::Adjoint(adjoint) => Self::Adjoint(AdjointParts::new(adjoint, start)),
            Method::Classifier(settings) => {
                Self::Classifier(PlainClassifierParts::new(settings, start))
            }
            Method::ReferenceMnist(reference) => {
                Self::Reference(ReferenceParts::mnist(reference, start))
            }
            Method::ReferenceSimple(reference) => {
                Self::Reference(ReferenceParts::simple(reference, start))
            }
        }
    }

    /// The process that the parts are trained to undo.
    pub(crate) fn process<'a>(&'a self, class_embedding: &'a ClassEmbedding) -> Process<'a> {
        match self {
            Self::Ct(ct) => Process::Diffusion(ct.model()),
            Self::Reference(reference) => Process::Diffusion(reference.model()),
            Self::Dt(dt) => Process::Discrete(dt.model()),
            Self::Fm(fm) => Process::Flow(fm.field(class_embedding), &fm.path),
            Self::Adjoint(adjoint) => Process::Flow(adjoint.field(class_embedding), &adjoint.path),
            Self::Backprop(backprop) => Process::Gated(&backprop.blocks, &backprop.schedule),
            Self::Classifier(classifier) => Process::Direct(&classifier.network),
        }
    }

    /// The loss of `batch`.
    pub(crate) fn loss(&self, class_embedding: &ClassEmbedding, batch: Batch) -> Loss {
        match self {
            Self::Ct(ct) => ct.loss(class_embedding, batch),
            Self::Fm(fm) => fm.loss(class_embedding, batch),
            Self::Dt(dt) => dt.loss(class_embedding, batch),
            Self::Backprop(backprop) => backprop.loss(class_embedding, batch),
            Self::Adjoint(adjoint) => adjoint.loss(class_embedding, batch),
            Self::Classifier(classifier) => classifier.loss(batch),
            Self::Reference(reference) => reference.loss(class_embedding, batch),
        }
    }

    /// The gradients of the loss of `batch` with respect to all parameters of `model`, whose parts these are,
    /// and the loss.
    #[cfg(feature = "train")]
    pub(crate) fn gradients<M: Module>(
        &self,
        model: &M,
        class_embedding: &ClassEmbedding,
        batch: Batch,
    ) -> (GradientsParams, Loss) {
        if let Self::Adjoint(adjoint) = self {
            return adjoint.gradients(model, class_embedding, batch);
        }
        let loss = self.loss(class_embedding, batch);
        let gradients = GradientsParams::from_grads(loss.total.backward(), model);
        (gradients, loss)
    }

    /// The class logits `[b, m]` that the readout gives for final latents `z_1` `[b, d]`.
    pub(crate) fn readout(
        &self,
        class_embedding: &ClassEmbedding,
        features: &Features,
        z_1: Tensor<2>,
    ) -> Tensor<2> {
        match self {
            Self::Ct(ct) => ct.output_head.forward(z_1),
            Self::Fm(_) => class_embedding.nearness(z_1),
            Self::Dt(dt) => dt.readout(class_embedding, z_1),
            Self::Backprop(backprop) => backprop.readout(class_embedding, z_1),
            Self::Adjoint(adjoint) => adjoint.output_head.forward(z_1),
            Self::Classifier(classifier) => classifier.readout(features),
            Self::Reference(reference) => reference.readout(features, z_1),
        }
    }

    /// The output head, if the method has one: the linear layer of p̂_out on z_1.
    pub fn output_head(&self) -> Option<&Linear> {
        match self {
            Self::Ct(ct) => Some(&ct.output_head),
            Self::Fm(fm) => fm.output_head.as_ref(),
            Self::Dt(dt) => Some(&dt.output_head),
            Self::Backprop(backprop) => Some(&backprop.output_head),
            Self::Adjoint(adjoint) => Some(&adjoint.output_head),
            Self::Classifier(_) | Self::Reference(_) => None,
        }
    }

    /// The backbone, to be replaced; `None` if each block has its own.
    pub fn backbone_mut(&mut self) -> Option<&mut Backbone> {
        match self {
            Self::Ct(ct) => Some(&mut ct.network.backbone),
            Self::Fm(fm) => Some(&mut fm.network.backbone),
            Self::Adjoint(adjoint) => Some(&mut adjoint.network.backbone),
            Self::Classifier(classifier) => Some(&mut classifier.network.backbone),
            Self::Reference(reference) => Some(&mut reference.network.backbone),
            Self::Dt(_) | Self::Backprop(_) => None,
        }
    }

    /// The output head, to be replaced; `None` if the method has none.
    pub(crate) fn output_head_mut(&mut self) -> Option<&mut Linear> {
        match self {
            Self::Ct(ct) => Some(&mut ct.output_head),
            Self::Fm(fm) => fm.output_head.as_mut(),
            Self::Dt(dt) => Some(&mut dt.output_head),
            Self::Backprop(backprop) => Some(&mut backprop.output_head),
            Self::Adjoint(adjoint) => Some(&mut adjoint.output_head),
            Self::Classifier(_) | Self::Reference(_) => None,
        }
    }
}

#[cfg(test)]
mod ct_tests;
#[cfg(test)]
mod dt_tests;
#[cfg(test)]
mod every_method_tests;
#[cfg(test)]
mod gradient_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod time_tests;
