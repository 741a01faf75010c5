//! NoProp-DT (paper eq. 8), for block t:
//!
//! L_t = −log p̂_out(y|z_T) + KL(q(z_0|y) ‖ N(0,I)) + (T/2) η (SNR(t) − SNR(t−1)) ‖û_{θ_t}(z_{t−1}, x) − u_y‖²,
//! z_T ~ q(z_T|y), z_{t−1} ~ q(z_{t−1}|y). ‖·‖² sums over the d coordinates.
//!
//! z_{t−1} is drawn from q(z_{t−1}|y) itself, not by running the blocks before t: that is why the loss
//! of a block reaches no other.

use burn::tensor::{Int, Tensor};

use super::{Batch, Draws, Loss, cross_entropy};
use crate::model::NoProp;
use crate::schedule::{CosineSchedule, kl_to_standard_normal};

pub(super) fn loss(model: &NoProp, steps: &CosineSchedule, batch: Batch, eta: f64) -> Loss {
    let Batch {
        images,
        labels,
        draws,
        mut dropout,
        block,
    } = batch;
    let u_y = model.class_embedding.embed(labels.clone());
    // Block t = `block` + 1 receives z_{t−1}.
    let z = draw(steps, block, u_y.clone(), draws.noise.clone());
    let estimate = model.train_block(images, block, z, &mut dropout);
    let error = (estimate.u_hat - u_y).square().sum_dim(1).mean();
    let weight = steps.snr(block + 1) - steps.snr(block);
    let denoise = error.mul_scalar(0.5 * eta * model.blocks.len() as f64 * weight);

    let (ce, kl) = ends(model, steps, labels, draws);
    Loss::new(ce, kl, denoise)
}

/// The terms of eq. 8 that see no block: −log p̂_out(y|z_T) and the KL divergence.
///
/// Whoever trains some blocks only still takes every step of the output head with this, so that the
/// head comes out the same wherever the other blocks are trained.
///
/// # Panics
/// When the model is not of NoProp-DT.
pub fn readout_loss(model: &NoProp, labels: Tensor<1, Int>, draws: Draws) -> Loss {
    let crate::schedule::NoiseSchedule::Cosine(steps) = &model.schedule else {
        unreachable!("NoProp-DT on {:?}", model.schedule);
    };
    let (ce, kl) = ends(model, steps, labels, draws);
    let denoise = Tensor::zeros([1], &ce.device());
    Loss::new(ce, kl, denoise)
}

fn ends(
    model: &NoProp,
    steps: &CosineSchedule,
    labels: Tensor<1, Int>,
    draws: Draws,
) -> (Tensor<1>, Tensor<1>) {
    let u_y = model.class_embedding.embed(labels.clone());
    let z_last = draw(steps, model.blocks.len(), u_y.clone(), draws.noise_1);
    let logits = match &model.output_head {
        Some(head) => model.head_logits(head, z_last),
        None => unreachable!("validated: NoProp-DT has an output head"),
    };
    let log_snr_0 = Tensor::full([1, 1], libm::log(steps.snr(0)), &u_y.device());
    let kl = kl_to_standard_normal(u_y, log_snr_0).mean();
    (cross_entropy(logits, labels), kl)
}

/// z_k ~ q(z_k|y) = N(√ᾱ_k u_y, (1 − ᾱ_k) I) (eq. 5).
fn draw(steps: &CosineSchedule, k: usize, u_y: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    let (signal, variance) = steps.shares(k);
    u_y.mul_scalar(libm::sqrt(signal)) + noise.mul_scalar(libm::sqrt(variance))
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, TensorData};

    use super::super::ObjectiveConfig;
    use super::super::tests::{BATCH, CLASSES, batch, config, negative_log_softmax, rows, scalar};
    use super::*;
    use crate::config::{HeadConfig, ModelConfig, Readout};
    use crate::dropout::Dropout;
    use crate::schedule::{CosineForm, ScheduleConfig};

    const STEPS: usize = 4;
    const ETA: f64 = 0.3;

    fn blocks() -> ModelConfig {
        ModelConfig {
            schedule: ScheduleConfig::Cosine {
                steps: STEPS,
                form: CosineForm::Shifted,
            },
            head: HeadConfig {
                batch_norm: true,
                ..config().head
            },
            ..config()
        }
    }

    fn of_block(block: usize, device: &Device) -> Batch {
        Batch {
            block,
            ..batch(&blocks(), device)
        }
    }

    /// All terms in f64 on the host, from what the network says. On the autodiff device, so that
    /// BatchNorm normalises by the batch, as in training.
    #[test]
    fn terms_are_those_of_equation_8() {
        let device = Device::flex().autodiff();
        let model = NoProp::new(&blocks(), 2, &device).unwrap();
        let w = rows(&model.class_embedding.weight.val());
        let alpha_bar = |k: usize| {
            (core::f64::consts::FRAC_PI_2 * (k + 1) as f64 / (STEPS + 2) as f64)
                .sin()
                .powi(2)
        };
        let snr = |k: usize| alpha_bar(k) / (1.0 - alpha_bar(k));
        for block in 0..STEPS {
            let batch = of_block(block, &device);
            let loss = ObjectiveConfig::Dt { eta: ETA }.loss(&model, batch.clone());

            let latents = |k: usize, noise: &Tensor<2>| {
                let noise = rows(noise);
                let at = |i: usize, j: usize| {
                    alpha_bar(k).sqrt() * w[i % CLASSES][j]
                        + (1.0 - alpha_bar(k)).sqrt() * noise[i][j]
                };
                let values: Vec<f32> = (0..BATCH * 4).map(|n| at(n / 4, n % 4) as f32).collect();
                Tensor::<2>::from_data(TensorData::new(values, [BATCH, 4]), &device)
            };
            let z = latents(block, &batch.draws.noise);
            let estimate = model.train_block(batch.images.clone(), block, z, &mut Dropout::Off);
            let u_hat = rows(&estimate.u_hat);
            let head = model.output_head.as_ref().unwrap();
            let logits = rows(&head.forward(latents(STEPS, &batch.draws.noise_1)));

            let (mut ce, mut kl, mut error) = (0.0, 0.0, 0.0);
            for i in 0..BATCH {
                let u = &w[i % CLASSES];
                let norm: f64 = u.iter().map(|u| u * u).sum();
                let spread = 1.0 - alpha_bar(0);
                kl +=
                    0.5 * (alpha_bar(0) * norm + 4.0 * (spread - 1.0 - spread.ln())) / BATCH as f64;
                ce += negative_log_softmax(&logits[i], i % CLASSES) / BATCH as f64;
                error += (0..4).map(|j| (u_hat[i][j] - u[j]).powi(2)).sum::<f64>() / BATCH as f64;
            }
            let weight = 0.5 * STEPS as f64 * ETA * (snr(block + 1) - snr(block));
            let found = [&loss.ce, &loss.kl, &loss.denoise].map(scalar);
            // f32 networks against f64 sums: about ten roundings of numbers of order 1 to 10.
            for (found, expected) in found.into_iter().zip([ce, kl, weight * error]) {
                assert!(
                    (found - expected).abs() < 1e-5 * expected.max(1.0),
                    "{found} {expected}"
                );
            }
            assert!((scalar(&loss.total) - found.iter().sum::<f64>()).abs() < 1e-4);
        }
    }

    /// How many parameters of a module have a gradient, and how many have none.
    struct Count<'a>(&'a GradientsParams, usize, usize);

    impl ModuleVisitor for Count<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                match self.0.get::<D>(param.id) {
                    Some(_) => self.1 += 1,
                    None => self.2 += 1,
                }
            }
        }
    }

    #[test]
    fn a_block_gets_no_gradient_from_the_loss_of_another() {
        let device = Device::flex().autodiff();
        let model = NoProp::new(&blocks(), 2, &device).unwrap();
        for trained in 0..STEPS {
            let loss = ObjectiveConfig::Dt { eta: ETA }.loss(&model, of_block(trained, &device));
            let gradients = GradientsParams::from_grads(loss.total.backward(), &model);
            for (block, module) in model.blocks.iter().enumerate() {
                let mut count = Count(&gradients, 0, 0);
                module.visit(&mut count);
                let Count(_, with, without) = count;
                assert!(with + without > 20);
                // Absent, not merely zero: the graph of a loss does not contain the other blocks.
                let expected = if block == trained {
                    (with, 0)
                } else {
                    (0, without)
                };
                assert_eq!(
                    (with, without),
                    expected,
                    "block {block}, loss of {trained}"
                );
            }
            let mut shared = Count(&gradients, 0, 0);
            model.output_head.visit(&mut shared);
            assert_eq!((shared.1, shared.2), (2, 0));
        }
    }

    #[test]
    fn the_head_takes_the_same_step_without_a_block() {
        let device = Device::flex().autodiff();
        let config = ModelConfig {
            class_embedding: crate::embedding::ClassEmbeddingConfig::OneHot,
            ..blocks()
        };
        let model = NoProp::new(&config, 2, &device).unwrap();
        let batch = Batch {
            block: 1,
            ..super::super::tests::batch(&config, &device)
        };
        let alone = readout_loss(&model, batch.labels.clone(), batch.draws.clone());
        let whole = ObjectiveConfig::Dt { eta: ETA }.loss(&model, batch);
        let gradient = |loss: Loss| {
            let gradients = GradientsParams::from_grads(loss.total.backward(), &model);
            let head = model.output_head.as_ref().unwrap();
            let gradient = gradients.get::<2>(head.weight.id).unwrap();
            gradient.into_data().try_to_vec::<f32>().unwrap()
        };
        // No tolerance: the same operations.
        assert_eq!(gradient(alone), gradient(whole));
    }

    /// Eq. 14–16 in f64 on the host: ỹ = softmax(head(z)) W, then distances to the rows of W.
    #[test]
    fn the_posterior_head_goes_by_distance() {
        let device = Device::flex();
        let config = ModelConfig {
            readout: Readout::Posterior,
            ..blocks()
        };
        ObjectiveConfig::Dt { eta: ETA }.validate(&config).unwrap();
        let model = NoProp::new(&config, 2, &device).unwrap();
        let z = batch(&config, &device).draws.noise;
        let w = rows(&model.class_embedding.weight.val());
        let head = rows(&model.output_head.as_ref().unwrap().forward(z.clone()));
        let features = model.prepare(Tensor::zeros([BATCH, STEPS * 5], &device));
        let found = rows(&model.readout(&features, z));
        let normalised = |logits: &[f64]| -> Vec<f64> {
            let all = (0..CLASSES).map(|class| (-negative_log_softmax(logits, class)).exp());
            all.collect()
        };
        for i in 0..BATCH {
            let shares = normalised(&head[i]);
            let point: Vec<f64> = (0..4)
                .map(|j| (0..CLASSES).map(|c| shares[c] * w[c][j]).sum())
                .collect();
            let expected: Vec<f64> = (0..CLASSES)
                .map(|c| (0..4).map(|j| (point[j] - w[c][j]).powi(2)).sum::<f64>())
                .map(|distance| -distance / (2.0 * 0.3 * 0.3))
                .collect();
            for (a, b) in normalised(&found[i]).iter().zip(normalised(&expected)) {
                // Logits of order 10 to 100 in f32.
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
        let ct = ModelConfig {
            readout: Readout::Posterior,
            ..super::super::tests::config()
        };
        assert!(ct.validate().unwrap_err().to_string().contains("NoProp-DT"));
    }

    #[test]
    fn half_of_it_is_refused() {
        let dt = ObjectiveConfig::Dt { eta: 0.1 };
        assert!(dt.validate(&blocks()).is_ok());
        assert!(dt.validate(&config()).is_err());
        assert!(ObjectiveConfig::default().validate(&blocks()).is_err());
        let unread = ModelConfig {
            readout: Readout::Nearest,
            ..blocks()
        };
        let message = unread.validate().unwrap_err().to_string();
        assert!(message.contains("linear"), "{message}");
    }
}
