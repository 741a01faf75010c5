//! The loss of NoProp-DT against computations in f64, and the independence of its blocks.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, TensorData};

use super::tests::{BATCH, CLASSES, batch, config, negative_log_softmax, rows, scalar};
use super::*;
use crate::config::HeadConfig;
use crate::dropout::Dropout;
use crate::model::NoProp;
use crate::schedule::DiscreteForm;

const STEPS: usize = 4;
const ETA: f64 = 0.3;

fn blocks() -> ModelConfig {
    ModelConfig {
        head: HeadConfig {
            batch_norm: true,
            ..config().head
        },
        ..config()
    }
}

fn model(config: &ModelConfig, readout: BlockReadout, device: &Device) -> NoProp {
    let method = Method::Dt(Dt {
        steps: STEPS,
        form: DiscreteForm::Shifted,
        eta: ETA,
        readout,
        ..Default::default()
    });
    NoProp::new(&method, config, 2, device).unwrap()
}

fn parts(model: &NoProp) -> &DtParts {
    match &model.parts {
        Parts::Dt(parts) => parts,
        other => panic!("not NoProp-DT: {other:?}"),
    }
}

fn of_block(block: usize, device: &Device) -> Batch {
    Batch {
        block: Some(block),
        ..batch(&blocks(), device)
    }
}

/// All terms in f64 on the host, from the output of the network. On the autodiff device, so that
/// BatchNorm normalises by the batch, as in training.
#[test]
fn terms_are_those_of_equation_8() {
    let device = Device::flex().autodiff();
    let model = model(&blocks(), BlockReadout::Linear, &device);
    let w = rows(&model.class_embedding.weight.val());
    let alpha_bar = |k: usize| {
        (core::f64::consts::FRAC_PI_2 * (k + 1) as f64 / (STEPS + 2) as f64)
            .sin()
            .powi(2)
    };
    let snr = |k: usize| alpha_bar(k) / (1.0 - alpha_bar(k));
    for block in 0..STEPS {
        let batch = of_block(block, &device);
        let loss = model.loss(batch.clone());

        let latents = |k: usize, noise: &Tensor<2>| {
            let noise = rows(noise);
            let at = |i: usize, j: usize| {
                alpha_bar(k).sqrt() * w[i % CLASSES][j] + (1.0 - alpha_bar(k)).sqrt() * noise[i][j]
            };
            let values: Vec<f32> = (0..BATCH * 4).map(|n| at(n / 4, n % 4) as f32).collect();
            Tensor::<2>::from_data(TensorData::new(values, [BATCH, 4]), &device)
        };
        let z = latents(block, &batch.draws.noise);
        let images = batch.images.clone();
        let logits = parts(&model).blocks[block].train_logits(images, z, &mut Dropout::Off);
        let u_hat = rows(&model.class_embedding.expectation(logits));
        let head = &parts(&model).output_head;
        let logits = rows(&head.forward(latents(STEPS, &batch.draws.noise_1)));

        let (mut ce, mut kl, mut error) = (0.0, 0.0, 0.0);
        for i in 0..BATCH {
            let u = &w[i % CLASSES];
            let norm: f64 = u.iter().map(|u| u * u).sum();
            let spread = 1.0 - alpha_bar(0);
            kl += 0.5 * (alpha_bar(0) * norm + 4.0 * (spread - 1.0 - spread.ln())) / BATCH as f64;
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

/// The numbers of parameters of a module with a gradient and without one.
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
    let model = model(&blocks(), BlockReadout::Linear, &device);
    for trained in 0..STEPS {
        let loss = model.loss(of_block(trained, &device));
        let gradients = GradientsParams::from_grads(loss.total.backward(), &model);
        for (block, module) in parts(&model).blocks.iter().enumerate() {
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
        parts(&model).output_head.visit(&mut shared);
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
    let model = model(&config, BlockReadout::Linear, &device);
    let of_block = |block| {
        model.loss(Batch {
            block,
            ..batch(&config, &device)
        })
    };
    let (alone, whole) = (of_block(None), of_block(Some(1)));
    assert_eq!(scalar(&alone.denoise), 0.0);
    let gradient = |loss: Loss| {
        let gradients = GradientsParams::from_grads(loss.total.backward(), &model);
        let head = &parts(&model).output_head;
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
    let model = model(&blocks(), BlockReadout::Posterior, &device);
    let z = batch(&blocks(), &device).draws.noise;
    let w = rows(&model.class_embedding.weight.val());
    let head = rows(&parts(&model).output_head.forward(z.clone()));
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
}
