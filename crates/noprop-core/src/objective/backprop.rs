//! The baseline of the paper (§4): the blocks of NoProp-DT in a row, and one cross-entropy at the end that is
//! back-propagated through all of them.
//!
//! z_0 ~ N(0, I), z_t = (1 − α_t) z_{t−1} + α_t û_{θ_t}(z_{t−1}, x), L = −log p̂_out(y|z_T).

use burn::tensor::Tensor;

use super::{Batch, Loss, cross_entropy};
use crate::model::NoProp;
use crate::schedule::GatedSchedule;

pub(super) fn loss(model: &NoProp, schedule: &GatedSchedule, batch: Batch) -> Loss {
    let Batch {
        images,
        labels,
        draws,
        mut dropout,
        ..
    } = batch;
    let mut z = draws.noise;
    for k in 0..model.blocks.len() {
        let estimate = model.train_block(images.clone(), k, z.clone(), &mut dropout);
        z = z.clone() + schedule.alpha(k) * (estimate.u_hat - z);
    }
    let logits = match &model.output_head {
        Some(head) => model.head_logits(head, z),
        None => unreachable!("validated: there is an output head"),
    };
    let ce = cross_entropy(logits, labels);
    let zero = Tensor::zeros([1], &ce.device());
    Loss::new(ce, zero.clone(), zero)
}

#[cfg(test)]
mod tests {
    use burn::optim::GradientsParams;
    use burn::tensor::Device;

    use super::super::ObjectiveConfig;
    use super::super::tests::{batch, config, scalar};
    use super::*;
    use crate::config::{HeadConfig, ModelConfig};
    use crate::sampler::{SamplerKind, Sampling};
    use crate::schedule::ScheduleConfig;

    fn gated() -> ModelConfig {
        ModelConfig {
            schedule: ScheduleConfig::Gated { steps: 4 },
            head: HeadConfig {
                batch_norm: true,
                ..config().head
            },
            ..config()
        }
    }

    /// Without BatchNorm's batch statistics the loss is that of the walk that inference makes.
    #[test]
    fn the_loss_is_that_of_the_walk() {
        let device = Device::flex();
        let model = NoProp::new(&gated(), 2, &device).unwrap();
        let batch = batch(&gated(), &device);
        let sampling = Sampling {
            kind: SamplerKind::Ddim,
            steps: 4,
            seed: 0,
        };
        let features = model.features(batch.images.clone());
        let z_0 = batch.draws.noise.clone();
        let z = sampling.run_from(&model, &features, z_0, 0, &mut |_, _| {});
        let expected = cross_entropy(model.readout(&features, z), batch.labels.clone());
        let loss = ObjectiveConfig::Backprop {}.loss(&model, batch);
        // Four steps of f32 products in another order.
        assert!((scalar(&loss.total) - scalar(&expected)).abs() < 1e-5);
    }

    #[test]
    fn the_gradient_reaches_every_block_and_gate() {
        let device = Device::flex().autodiff();
        let model = NoProp::new(&gated(), 2, &device).unwrap();
        let loss = ObjectiveConfig::Backprop {}.loss(&model, batch(&gated(), &device));
        let gradients = GradientsParams::from_grads(loss.total.backward(), &model);
        let crate::schedule::NoiseSchedule::Gated(schedule) = &model.schedule else {
            panic!("the schedule is gated")
        };
        let w = gradients.get::<1>(schedule.w.id).unwrap();
        let w = w.into_data().try_to_vec::<f32>().unwrap();
        assert!(w.len() == 4 && w.iter().all(|g| *g != 0.0), "{w:?}");
        struct Reached<'a>(&'a GradientsParams, bool);
        impl burn::module::ModuleVisitor for Reached<'_> {
            fn visit_float<const D: usize>(&mut self, p: &burn::module::Param<Tensor<D>>) {
                if let Some(gradient) = self.0.get::<D>(p.id) {
                    self.1 |= gradient.abs().max().into_scalar::<f32>() > 0.0;
                }
            }
        }
        for block in &model.blocks {
            let mut reached = Reached(&gradients, false);
            burn::module::Module::visit(block, &mut reached);
            assert!(reached.1);
        }
    }

    #[test]
    fn half_of_it_is_refused() {
        let unknown = r#"{"kind":"backprop","eta":1.0}"#;
        assert!(serde_json::from_str::<ObjectiveConfig>(unknown).is_err());
        assert!(ObjectiveConfig::Backprop {}.validate(&gated()).is_ok());
        assert!(ObjectiveConfig::Backprop {}.validate(&config()).is_err());
        assert!(ObjectiveConfig::default().validate(&gated()).is_err());
        assert!(ObjectiveConfig::Dt { eta: 0.1 }.validate(&gated()).is_err());
        assert!(SamplerKind::Ancestral.check(&gated()).is_err());
    }
}
