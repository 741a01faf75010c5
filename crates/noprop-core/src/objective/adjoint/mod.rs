//! The other baseline of the paper (§4): a neural ODE dz/dt = v_θ(z, x, t) with a linear classifier on z(1),
//! trained by the adjoint sensitivity method (Chen et al. 2018, arXiv:1806.07366).
//!
//! ```text
//! a(1) = ∂L/∂z(1),   da/dt = −(∂v/∂z)ᵀ a,   dL/dθ = ∫ (∂v/∂θ)ᵀ a dt
//! ```
//!
//! Euler's method solves z forwards without a graph, then z and a backwards together with one vector–Jacobian
//! product a step: memory does not grow with T. The backbone is outside the ODE; what its features
//! get from every step is summed and pushed through it once.

#[cfg(feature = "train")]
mod gradients;

#[cfg(feature = "train")]
pub(super) use gradients::gradients;

use burn::tensor::Tensor;

use super::{Batch, Loss, cross_entropy};
use crate::dropout::Dropout;
use crate::model::{Features, NoProp};

/// The loss as a graph through the whole solver, to be back-propagated: what the adjoint method spares.
pub(super) fn loss(model: &NoProp, batch: Batch, steps: usize) -> Loss {
    let mut dropout: Dropout = batch.dropout;
    let features = model.train_features(batch.images, &mut dropout);
    let z = solve(model, &features.fused, batch.draws.noise, steps);
    terms(cross_entropy(readout(model, z), batch.labels))
}

/// z(1) from `z` = z(0), by Euler's method.
fn solve(model: &NoProp, fused: &Tensor<2>, mut z: Tensor<2>, steps: usize) -> Tensor<2> {
    let h = 1.0 / steps as f64;
    for k in 0..steps {
        let time = time(&z, k as f64 * h);
        let velocity = model.velocity(&seen(fused), z.clone(), time);
        z = z + velocity.mul_scalar(h);
    }
    z
}

fn seen(fused: &Tensor<2>) -> Features {
    // The denoiser looks at the fused share alone.
    Features {
        values: fused.clone(),
        fused: fused.clone(),
    }
}

fn time(like: &Tensor<2>, t: f64) -> Tensor<2> {
    Tensor::full([1, 1], t, &like.device())
}

fn readout(model: &NoProp, z: Tensor<2>) -> Tensor<2> {
    match &model.output_head {
        Some(head) => model.head_logits(head, z),
        None => unreachable!("validated: there is an output head"),
    }
}

fn terms(ce: Tensor<1>) -> Loss {
    let zero = Tensor::zeros([1], &ce.device());
    Loss::new(ce, zero.clone(), zero)
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::optim::GradientsParams;
    use burn::tensor::Device;

    use super::super::ObjectiveConfig;
    use super::super::tests::{batch, config};
    use super::*;
    use crate::config::{HeadConfig, ModelConfig, Readout};
    use crate::schedule::ScheduleConfig;

    fn ode() -> ModelConfig {
        ModelConfig {
            schedule: ScheduleConfig::Flow { sigma: 0.0 },
            readout: Readout::Linear,
            ..config()
        }
    }

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
    fn difference(model: &NoProp, device: &Device, steps: usize) -> f64 {
        let objective = ObjectiveConfig::Adjoint { steps };
        let (ours, loss) = objective.gradients(model, batch(&ode(), device));
        let through = objective.loss(model, batch(&ode(), device));
        let value = |loss: &Loss| loss.total.clone().into_scalar::<f32>();
        // The same forward solution.
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
        let model = NoProp::new(&ode(), 2, &device).unwrap();
        let [few, more] = [8, 64].map(|steps| difference(&model, &device, steps));
        let order = (few / more).log2() / 3.0;
        // Euler backwards is of first order; kinks of ReLU cost a little.
        assert!((order - 1.0).abs() < 0.3, "{order}: {few}, {more}");
        assert!(more < 0.02, "{more}");
    }

    #[test]
    fn what_does_not_suit_it_is_refused() {
        let adjoint = ObjectiveConfig::Adjoint { steps: 5 };
        assert!(adjoint.validate(&ode()).is_ok());
        let message = |model: &ModelConfig| adjoint.validate(model).unwrap_err().to_string();
        assert!(message(&config()).contains("flow"));
        let normalised = ModelConfig {
            head: HeadConfig {
                batch_norm: true,
                ..ode().head
            },
            ..ode()
        };
        assert!(message(&normalised).contains("batch_norm"));
        let unread = ModelConfig {
            readout: Readout::Nearest,
            ..ode()
        };
        assert!(message(&unread).contains("linear"));
        let none = ObjectiveConfig::Adjoint { steps: 0 };
        assert!(none.validate(&ode()).is_err());
        assert!(
            ObjectiveConfig::Fm { anchor: 1.0 }
                .validate(&ode())
                .is_err()
        );
    }
}
