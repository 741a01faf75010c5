use burn::tensor::{Device, TensorData};

use super::*;
use crate::backbone::{BackboneConfig, CnnConfig};
use crate::config::{HeadConfig, LabelEncoderConfig};
use crate::dropout::Dropout;
use crate::embedding::{ClassEmbeddingConfig, EmbeddingInit};
use crate::model::NoProp;
use crate::noise::{NoiseSource, Purpose};
use crate::schedule::ScheduleConfig;

pub(super) const BATCH: usize = 6;
pub(super) const CLASSES: usize = 3;

pub(super) fn config() -> ModelConfig {
    ModelConfig {
        classes: CLASSES,
        input: [1, 4, 4],
        embed_dim: 5,
        time_dim: 4,
        backbone: BackboneConfig::Cnn(CnnConfig {
            width: 2,
            dropout: 0.0,
        }),
        class_embedding: ClassEmbeddingConfig::Learned {
            dim: Some(4),
            init: EmbeddingInit::Random,
        },
        head: HeadConfig {
            hidden: [7, 6],
            batch_norm: false,
        },
        ..Default::default()
    }
}

pub(super) fn ct() -> Ct {
    Ct {
        schedule: ScheduleConfig::Learned {
            gamma_0: -2.0,
            gamma_1: 2.0,
            hidden: 3,
        },
        ..Default::default()
    }
}

pub(super) fn batch(config: &ModelConfig, device: &Device) -> Batch {
    let mut source = NoiseSource::new(1, Purpose::Training, 0);
    let [c, h, w] = config.input;
    let pixels = source.normal(BATCH * c * h * w);
    let method = Method::default();
    let draws = HostDraws::new(&mut source, BATCH, config.latent_dim(), &method);
    Batch {
        images: Tensor::from_data(TensorData::new(pixels, [BATCH, c, h, w]), device),
        labels: Tensor::from_data(
            TensorData::new((0..BATCH).map(|i| (i % CLASSES) as i32).collect(), [BATCH]),
            device,
        ),
        draws: draws.upload(0..BATCH, device),
        dropout: Dropout::Off,
        block: Some(0),
    }
}

pub(super) fn rows(tensor: &Tensor<2>) -> Vec<Vec<f64>> {
    let width = tensor.dims()[1];
    let values = tensor.to_data().try_to_vec::<f32>().unwrap();
    values
        .chunks(width)
        .map(|row| row.iter().map(|&v| f64::from(v)).collect())
        .collect()
}

pub(super) fn scalar(tensor: &Tensor<1>) -> f64 {
    f64::from(tensor.clone().into_scalar::<f32>())
}

pub(super) fn negative_log_softmax(logits: &[f64], label: usize) -> f64 {
    let max = logits.iter().copied().fold(f64::MIN, f64::max);
    max + logits.iter().map(|l| (l - max).exp()).sum::<f64>().ln() - logits[label]
}

fn softmax_times(logits: &[f64], w: &[Vec<f64>]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = logits.iter().map(|l| (l - max).exp()).collect();
    let sum: f64 = weights.iter().sum();
    (0..w[0].len())
        .map(|j| (0..w.len()).map(|i| weights[i] / sum * w[i][j]).sum())
        .collect()
}

/// Each term in f64 on the host, from the schedule's and the network's outputs.
#[test]
fn ct_terms_are_those_of_equation_9() {
    let device = Device::flex();
    let method = Method::Ct(Ct { eta: 0.7, ..ct() });
    let model = NoProp::new(&method, &config(), 2, &device).unwrap();
    let batch = batch(&config(), &device);
    let loss = model.loss(batch.clone());
    let schedule_at = |t: Tensor<2>| model.schedule_at(t).unwrap();

    let w = rows(&model.class_embedding.weight.val());
    let at = |t: Tensor<2>| {
        rows(&schedule_at(t).log_snr)
            .into_iter()
            .map(|r| r[0])
            .collect::<Vec<_>>()
    };
    let ends = at(Tensor::from_data([[0.0_f32], [1.0]], &device));
    let log_snr = at(batch.draws.t.clone());
    let snr_prime = rows(&schedule_at(batch.draws.t.clone()).snr_prime);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (noise, noise_1) = (rows(&batch.draws.noise), rows(&batch.draws.noise_1));
    let features = model.features(batch.images.clone());

    let latents = |log_snr: &dyn Fn(usize) -> f64, noise: &[Vec<f64>]| {
        let values: Vec<f32> = (0..BATCH)
            .flat_map(|i| {
                let alpha_bar = sigmoid(log_snr(i));
                (0..4).map(move |j| (i, j, alpha_bar)).collect::<Vec<_>>()
            })
            .map(|(i, j, alpha_bar)| {
                (alpha_bar.sqrt() * w[i % CLASSES][j] + (1.0 - alpha_bar).sqrt() * noise[i][j])
                    as f32
            })
            .collect();
        Tensor::<2>::from_data(TensorData::new(values, [BATCH, 4]), &device)
    };
    let z_t = latents(&|i| log_snr[i], &noise);
    let z_1 = latents(&|_| ends[1], &noise_1);
    let t = batch.draws.t.clone();
    let logits = rows(&model.estimate_at_step(&features, z_t, 0, t).logits);
    let out = rows(&model.readout(&features, z_1));

    let (mut ce, mut kl, mut denoise) = (0.0, 0.0, 0.0);
    for i in 0..BATCH {
        let u = &w[i % CLASSES];
        let u_hat = softmax_times(&logits[i], &w);
        let error: f64 = u.iter().zip(&u_hat).map(|(a, b)| (a - b).powi(2)).sum();
        denoise += 0.5 * 0.7 * snr_prime[i][0] * error / BATCH as f64;
        ce += negative_log_softmax(&out[i], i % CLASSES) / BATCH as f64;
        let alpha_bar_0 = sigmoid(ends[0]);
        let norm: f64 = u.iter().map(|u| u * u).sum();
        kl += 0.5 * (alpha_bar_0 * (norm - 4.0) - 4.0 * (1.0 - alpha_bar_0).ln()) / BATCH as f64;
    }
    // f32 networks against f64 sums: about ten roundings of numbers of order 1 to 10.
    assert!(
        (scalar(&loss.ce) - ce).abs() < 1e-5,
        "ce {} {ce}",
        scalar(&loss.ce)
    );
    assert!(
        (scalar(&loss.kl) - kl).abs() < 1e-5,
        "kl {} {kl}",
        scalar(&loss.kl)
    );
    assert!((scalar(&loss.denoise) / denoise - 1.0).abs() < 1e-5);
    assert!((scalar(&loss.total) - ce - kl - denoise).abs() < 1e-4);
}

#[test]
fn reference_terms_are_its_own() {
    let config = ModelConfig {
        embed_dim: 4,
        label_encoder: LabelEncoderConfig::Residual,
        ..config()
    };
    let method = Method::ReferenceSimple(Reference {
        gamma_0: -7.0,
        gamma_1: 7.0,
        hidden: 8,
        eta: 1.0,
    });
    let device = Device::flex();
    let model = NoProp::new(&method, &config, 2, &device).unwrap();
    let batch = batch(&config, &device);
    let loss = model.loss(batch.clone());

    let w = rows(&model.class_embedding.weight.val());
    let mean_norm: f64 = (0..BATCH)
        .map(|i| w[i % CLASSES].iter().map(|u| u * u).sum::<f64>())
        .sum::<f64>()
        / BATCH as f64;
    assert!((scalar(&loss.kl) - 0.5 * mean_norm).abs() < 1e-5);

    // z_1 = ᾱ(1) u + √(1−ᾱ(1)) ε′ with ᾱ(1) = σ(7/2), and the cross-entropy of the denoiser on it.
    let alpha_bar = 1.0 / (1.0 + (-3.5_f64).exp());
    let noise_1 = rows(&batch.draws.noise_1);
    let z_1: Vec<f32> = (0..BATCH * 4)
        .map(|k| {
            (alpha_bar * w[k / 4 % CLASSES][k % 4]
                + (1.0 - alpha_bar).sqrt() * noise_1[k / 4][k % 4]) as f32
        })
        .collect();
    let z_1 = Tensor::from_data(TensorData::new(z_1, [BATCH, 4]), &device);
    let features = model.features(batch.images);
    let logits = rows(&model.estimate(&features, z_1, 1.0).logits);
    let ce: f64 = (0..BATCH)
        .map(|i| negative_log_softmax(&logits[i], i % CLASSES))
        .sum::<f64>()
        / BATCH as f64;
    assert!(
        (scalar(&loss.ce) - ce).abs() < 1e-5,
        "{} against {ce}",
        scalar(&loss.ce)
    );
}
