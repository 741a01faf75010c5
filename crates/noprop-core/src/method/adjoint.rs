//! Method "adjoint", a baseline of the paper (§4): a neural ODE dz/dt = v_θ(z, x, t) with a linear classifier
//! on z(1), trained by the adjoint sensitivity method (Chen et al. 2018, arXiv:1806.07366). L is the
//! cross-entropy.
//!
//! ```text
//! a(1) = ∂L/∂z(1),   da/dt = −(∂v/∂z)ᵀ a,   dL/dθ = ∫ (∂v/∂θ)ᵀ a dt
//! ```
//!
//! Euler's method solves z forwards without a graph, then z and a together backwards with one vector–Jacobian
//! product in each step, so memory does not grow with T. The backbone is outside the ODE: the gradients that
//! the steps give for its features are summed and back-propagated through it once.

use burn::module::Module;
use burn::nn::Linear;
#[cfg(feature = "train")]
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Loss, cross_entropy};
use super::initialisation::Initialisation;
use crate::config::ModelConfig;
use crate::embedding::ClassEmbedding;
use crate::error::ConfigError;
use crate::network::{Features, FlowField, Shared, inner_product_head};
use crate::noise::initialised;
use crate::schedule::FlowPath;

/// The settings of method "adjoint".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adjoint {
    /// The number of Euler steps from t = 0 to 1; 1000 in the paper.
    #[serde(default = "thousand")]
    pub steps: usize,
    /// Whether the last layer gives the velocity itself, d numbers, rather than m weights of the class
    /// embeddings.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub full_rank: bool,
}

fn thousand() -> usize {
    1000
}

impl Default for Adjoint {
    fn default() -> Self {
        Self {
            steps: thousand(),
            full_rank: false,
        }
    }
}

impl Adjoint {
    pub(super) fn validate(&self, model: &ModelConfig) -> Result<(), ConfigError> {
        ConfigError::at_least("method.steps", self.steps, 1, "at least 1")?;
        if model.head.batch_norm {
            return Err(ConfigError::Combination(
                "method \"adjoint\" solves its ODE without the statistics of a batch, so its head cannot have BatchNorm; \
                 set model.head.batch_norm to false"
                    .into(),
            ));
        }
        Ok(())
    }
}

/// The parts of a network of method "adjoint".
#[derive(Module, Debug)]
pub struct AdjointParts {
    /// The backbone and the denoiser, whose output is a velocity.
    pub network: Shared,
    /// The path that gives walks their times; it has σ = 0.
    pub path: FlowPath,
    /// The linear classifier on z(1).
    pub output_head: Linear,
    #[module(skip)]
    pub(super) settings: Adjoint,
}

impl AdjointParts {
    pub(super) fn new(settings: &Adjoint, start: Initialisation<'_>) -> Self {
        let Initialisation {
            config,
            embeddings,
            seed,
            device,
        } = start;
        let outputs = match settings.full_rank {
            true => config.latent_dim(),
            false => config.classes,
        };
        initialised(device, seed, || Self {
            network: Shared::new(config, outputs, device),
            path: FlowPath { sigma: 0.0 },
            output_head: inner_product_head(embeddings, config.classes, 1.0, device),
            settings: settings.clone(),
        })
    }

    /// The velocity field v_θ.
    pub(super) fn field<'a>(&'a self, class_embedding: &'a ClassEmbedding) -> FlowField<'a> {
        FlowField {
            shared: &self.network,
            class_embedding,
            full_rank: self.settings.full_rank,
        }
    }

    /// The loss with a graph through all steps of the solver. Training uses `gradients` instead, which needs
    /// no such graph.
    pub(super) fn loss(&self, class_embedding: &ClassEmbedding, batch: Batch) -> Loss {
        let mut dropout = batch.dropout;
        let features = self.network.features(batch.images, &mut dropout);
        let z = self.solve(class_embedding, &features.fused, batch.draws.noise);
        Loss::cross_entropy_alone(cross_entropy(self.output_head.forward(z), batch.labels))
    }

    /// The gradients of the loss of `batch` with respect to all parameters of `model`, and the loss. These
    /// are the parts of `model`, and `class_embedding` is its W_Embed. The adjoint equation is solved
    /// backwards in time.
    #[cfg(feature = "train")]
    pub(super) fn gradients<M: Module>(
        &self,
        model: &M,
        class_embedding: &ClassEmbedding,
        batch: Batch,
    ) -> (GradientsParams, Loss) {
        let Batch {
            images,
            labels,
            draws,
            mut dropout,
            ..
        } = batch;
        let steps = self.settings.steps;
        let h = 1.0 / steps as f64;
        let features = self.network.features(images, &mut dropout);
        let fused = features.fused.clone().inner();
        let z_0 = draws.noise.inner();
        let mut z = self.valid().solve(&class_embedding.valid(), &fused, z_0);

        // The gradients of the classifier, and a(1).
        let end = Tensor::from_inner(z.clone()).require_grad();
        let ce = cross_entropy(self.output_head.forward(end.clone()), labels);
        let mut gradients = ce.backward();
        let mut a = taken(&end, end.grad_remove(&mut gradients));
        let mut sum = GradientsAccumulator::new();
        sum.accumulate(model, GradientsParams::from_grads(gradients, model));

        let mut of_features = fused.zeros_like();
        for k in (0..steps).rev() {
            let (z_leaf, fused_leaf) = (leaf(&z), leaf(&fused));
            let t = (k + 1) as f64 * h;
            let velocity = self.velocity(class_embedding, &fused_leaf, z_leaf.clone(), t);
            z = z - velocity.clone().inner().mul_scalar(h);
            // The gradients of h·aᵀv are the vector–Jacobian products h·(∂v/∂z)ᵀa, h·(∂v/∂θ)ᵀa of this step.
            let product = (velocity * Tensor::from_inner(a.clone()))
                .sum()
                .mul_scalar(h);
            let mut gradients = product.backward();
            a = a + taken(&z_leaf, z_leaf.grad_remove(&mut gradients));
            of_features = of_features + taken(&fused_leaf, fused_leaf.grad_remove(&mut gradients));
            sum.accumulate(model, GradientsParams::from_grads(gradients, model));
        }
        let through_backbone = (features.fused * Tensor::from_inner(of_features)).sum();
        let gradients = GradientsParams::from_grads(through_backbone.backward(), model);
        sum.accumulate(model, gradients);
        (sum.grads(), Loss::cross_entropy_alone(ce))
    }

    /// The latents z(1) from `z` = z(0), both `[b, d]`, by Euler's method, with the features' share `fused`
    /// `[b, hidden]` of the images.
    pub(super) fn solve(
        &self,
        class_embedding: &ClassEmbedding,
        fused: &Tensor<2>,
        mut z: Tensor<2>,
    ) -> Tensor<2> {
        let h = 1.0 / self.settings.steps as f64;
        for k in 0..self.settings.steps {
            let velocity = self.velocity(class_embedding, fused, z.clone(), k as f64 * h);
            z = z + velocity.mul_scalar(h);
        }
        z
    }

    /// The velocity v_θ `[b, d]` at latents `z` `[b, d]` and time `t`, with the features' share `fused`
    /// `[b, hidden]`.
    pub(super) fn velocity(
        &self,
        class_embedding: &ClassEmbedding,
        fused: &Tensor<2>,
        z: Tensor<2>,
        t: f64,
    ) -> Tensor<2> {
        // The velocity depends on `fused` only.
        let features = Features {
            values: fused.clone(),
            fused: fused.clone(),
        };
        let t = Tensor::full([1, 1], t, &z.device());
        self.field(class_embedding).velocity(&features, z, t)
    }
}

/// A leaf of a new graph with the values of `value`.
#[cfg(feature = "train")]
fn leaf(value: &Tensor<2>) -> Tensor<2> {
    Tensor::from_inner(value.clone()).require_grad()
}

/// The gradient of `leaf`, or zero if the result does not depend on `leaf`.
#[cfg(feature = "train")]
fn taken(leaf: &Tensor<2>, gradient: Option<Tensor<2>>) -> Tensor<2> {
    gradient.unwrap_or_else(|| leaf.clone().inner().zeros_like())
}

#[cfg(test)]
#[cfg(feature = "train")]
mod tests {
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::optim::GradientsParams;
    use burn::tensor::Device;

    use super::super::Method;
    use super::super::tests::{batch, config};
    use super::*;
    use crate::model::NoProp;

    /// All gradients in the order of the parameters, and how many parameters have one.
    fn flat(model: &NoProp, gradients: &GradientsParams) -> (Vec<f32>, usize) {
        struct Flat<'a>(&'a GradientsParams, Vec<f32>, usize);
        impl ModuleVisitor for Flat<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if let Some(gradient) = self.0.get::<D>(param.id) {
                    self.1.extend(gradient.into_data().iter::<f32>());
                    self.2 += 1;
                }
            }
        }
        let mut flat = Flat(gradients, Vec::new(), 0);
        model.visit(&mut flat);
        (flat.1, flat.2)
    }

    /// ‖adjoint − back-propagation‖ / ‖back-propagation‖ over all parameters.
    fn difference(device: &Device, steps: usize) -> f64 {
        let method = Method::Adjoint(Adjoint {
            steps,
            ..Default::default()
        });
        let model = &NoProp::new(&method, &config(), 2, device).unwrap();
        let (ours, loss) = model.gradients(batch(&config(), device));
        let through = model.loss(batch(&config(), device));
        let value = |loss: &Loss| loss.total.clone().into_scalar::<f32>();
        // Both solve the ODE forwards in the same way.
        assert!((value(&loss) - value(&through)).abs() < 1e-6);
        let through = GradientsParams::from_grads(through.total.backward(), model);
        let ((ours, count), (expected, all)) = (flat(model, &ours), flat(model, &through));
        assert_eq!(count, all, "the same parameters have gradients");
        let norm =
            |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let size = norm(&mut expected.iter().copied());
        assert!(size > 1e-3, "{size}");
        norm(&mut ours.iter().zip(&expected).map(|(a, b)| a - b)) / size
    }

    #[test]
    fn it_converges_to_back_propagation_through_the_solver() {
        let device = Device::flex().autodiff();
        let [few, more] = [8, 64].map(|steps| difference(&device, steps));
        let order = (few / more).log2() / 3.0;
        // Euler backwards is of first order; kinks of ReLU cost a little.
        assert!((order - 1.0).abs() < 0.3, "{order}: {few}, {more}");
        assert!(more < 0.02, "{more}");
    }
}
