//! dz/dt = v_θ(z, x, t) of a flow-matching model (paper eq. 13), from t = 0 to t = 1 in even steps.
//!
//! Straight paths have no noise of their own and a velocity of order 1 everywhere, so the ODE is
//! solved in t itself. DDIM's idea, to hold the estimate z̃_1 constant over a step, is here Euler's
//! step: (s − t)/(1 − t) (z̃_1 − z) = (s − t) v.

use burn::tensor::Tensor;

use super::{Stepper, Walk};

/// v at z, t_k, and t_{k+1} − t_k.
fn velocity(walk: &Walk<'_>, z: Tensor<2>, k: usize) -> Tensor<2> {
    let t = Walk::at(&walk.times, k);
    walk.model.velocity(walk.features, walk.seen(z), t)
}

fn step_size(walk: &Walk<'_>, k: usize) -> Tensor<2> {
    Walk::at(&walk.times, k + 1) - Walk::at(&walk.times, k)
}

/// First order: one evaluation a step. With T = 1 it is the paper's shortcut z_0 + v(z_0, x, 0).
pub(super) struct Euler;

impl Stepper for Euler {
    fn step(&self, walk: &mut Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
        z.clone() + step_size(walk, k) * velocity(walk, z, k)
    }
}

/// Second order: two evaluations a step.
pub(super) struct Heun;

impl Stepper for Heun {
    fn step(&self, walk: &mut Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
        let h = step_size(walk, k);
        let first = velocity(walk, z.clone(), k);
        let ahead = z.clone() + h.clone() * first.clone();
        let second = velocity(walk, ahead, k + 1);
        z + h.mul_scalar(0.5) * (first + second)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use crate::backbone::{BackboneConfig, CnnConfig};
    use crate::config::{ModelConfig, Readout};
    use crate::model::{Features, NoProp};
    use crate::noise::{NoiseSource, Purpose};
    use crate::sampler::{SamplerKind, Sampling};
    use crate::schedule::ScheduleConfig;

    /// Enough of them that the kinks of ReLU, which a walk meets anywhere, average out.
    const IMAGES: usize = 64;

    /// A network whose velocity bends with z and t, gently enough for few steps.
    fn model() -> (NoProp, Features) {
        let device = Device::flex();
        let config = ModelConfig {
            classes: 4,
            input: [1, 8, 8],
            embed_dim: 16,
            time_scale: 1.0,
            backbone: BackboneConfig::Cnn(CnnConfig {
                width: 2,
                dropout: 0.0,
            }),
            schedule: ScheduleConfig::Flow { sigma: 0.0 },
            readout: Readout::Nearest,
            ..Default::default()
        };
        let model = NoProp::new(&config, 3, &device).unwrap();
        let mut noise = NoiseSource::new(3, Purpose::Initialising, 0);
        let features = model.prepare(noise.normal_tensor([IMAGES, 16], &device) * 2.0);
        (model, features)
    }

    /// Where its walks end.
    fn end((model, features): &(NoProp, Features), kind: SamplerKind, steps: usize) -> Tensor<2> {
        let sampling = Sampling {
            kind,
            steps,
            seed: 1,
        };
        sampling.run(model, features, 0)
    }

    fn distance(a: Tensor<2>, b: Tensor<2>) -> f64 {
        f64::from((a - b).square().sum().sqrt().into_scalar::<f32>())
    }

    #[test]
    fn euler_has_order_one_and_heun_order_two() {
        let model = model();
        let exact = end(&model, SamplerKind::Heun, 512);
        for (kind, order) in [(SamplerKind::Euler, 1.0), (SamplerKind::Heun, 2.0)] {
            let errors = [2, 8].map(|steps| distance(end(&model, kind, steps), exact.clone()));
            let measured = (errors[0] / errors[1]).log2() / 2.0;
            // ReLU bends the velocity at single points, which costs either method a little.
            assert!(
                (measured - order).abs() < 0.35,
                "{kind}: {measured}, {errors:?}"
            );
        }
    }

    #[test]
    fn one_step_is_the_shortcut_and_ddim_is_euler() {
        let walked = model();
        let (model, features) = &walked;
        let sampling = Sampling {
            kind: SamplerKind::Euler,
            steps: 1,
            seed: 1,
        };
        let z_0 = sampling.initial(model, 0, IMAGES);
        let zero = Tensor::zeros([1, 1], &Device::flex());
        let estimate = model.denoise(features, z_0, zero);
        // The same products in the same order but for one addition.
        assert!(distance(end(&walked, SamplerKind::Euler, 1), estimate.u_hat) < 1e-5);
        let [ddim, euler] =
            [SamplerKind::Ddim, SamplerKind::Euler].map(|kind| end(&walked, kind, 7));
        assert_eq!(distance(ddim, euler), 0.0);
    }

    #[test]
    fn samplers_of_diffusion_are_refused() {
        let (model, _) = model();
        for kind in SamplerKind::ALL {
            let walks = matches!(
                kind,
                SamplerKind::Ddim | SamplerKind::Euler | SamplerKind::Heun
            );
            assert_eq!(kind.check(model.config()).is_ok(), walks, "{kind}");
            assert!(kind.check(&ModelConfig::default()).is_ok());
        }
    }
}
