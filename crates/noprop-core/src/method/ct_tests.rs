//! Tests of the settings of NoProp-CT that the paper does not have, and of the optimum of its loss.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use super::tests::{BATCH, CLASSES, batch, config, ct, negative_log_softmax, rows, scalar};
use super::*;
use crate::dropout::Dropout;
use crate::embedding::ClassEmbeddingConfig;
use crate::exact_mixture::{P, UNEQUAL, exact_mixture};
use crate::model::NoProp;
use crate::noise::{NoiseSource, Purpose};
use crate::schedule::{NoiseSchedule, ScheduleConfig};

/// The number K of draws for each image.
const DRAWS: usize = 3;

/// The test batch with the draws of `method`.
fn batch_of(method: &Method, device: &Device) -> Batch {
    let mut source = NoiseSource::new(1, Purpose::Training, 7);
    let draws = HostDraws::new(&mut source, BATCH, config().latent_dim(), method);
    Batch {
        draws: draws.upload(0..BATCH, device),
        ..batch(&config(), device)
    }
}

fn column(values: Vec<f32>) -> Tensor<2> {
    let shape = [values.len(), 1];
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn first_of_each(tensor: &Tensor<2>) -> Vec<f64> {
    rows(tensor).into_iter().map(|row| row[0]).collect()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    (0..logits.len())
        .map(|y| (-negative_log_softmax(logits, y)).exp())
        .collect()
}

/// The terms of the loss in f64 on the host, from λ, λ′ and the outputs of network and head.
struct Terms {
    ce: f64,
    kl: f64,
    denoise: f64,
    /// For how many rows the bound on SNR holds.
    bounded: usize,
}

fn expected_terms(model: &NoProp, settings: &Ct, batch: &Batch) -> Terms {
    let device = Device::flex();
    let Parts::Ct(parts) = &model.parts else {
        panic!("the method is NoProp-CT")
    };
    let w = rows(&model.class_embedding.weight.val());
    let norms: Vec<f64> = w.iter().map(|u| u.iter().map(|u| u * u).sum()).collect();
    let at = |t: Tensor<2>| {
        let point = model.schedule_at(t).unwrap();
        (
            first_of_each(&point.log_snr),
            first_of_each(&point.log_snr_prime),
        )
    };
    let (log_snr, log_snr_prime) = at(batch.draws.t.clone());
    let (ends, _) = at(column(vec![0.0, 1.0]));
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (noise, noise_1) = (rows(&batch.draws.noise), rows(&batch.draws.noise_1));
    let latents = |label: usize, log_snr: f64, noise: &[f64]| -> Vec<f64> {
        let alpha_bar = sigmoid(log_snr);
        let pairs = w[label].iter().zip(noise);
        pairs
            .map(|(u, noise)| alpha_bar.sqrt() * u + (1.0 - alpha_bar).sqrt() * noise)
            .collect()
    };
    let upload = |rows: &[Vec<f64>]| {
        let values: Vec<f32> = rows.iter().flatten().map(|&z| z as f32).collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows.len(), 4]), &device)
    };

    // Row K·i + k has image i, whose label is i mod 3.
    let label = |row: usize| row / DRAWS % CLASSES;
    let z_t: Vec<Vec<f64>> = (0..BATCH * DRAWS)
        .map(|row| latents(label(row), log_snr[row], &noise[row]))
        .collect();
    let features = model.features(batch.images.clone());
    let repeated = features.repeat(DRAWS);
    let output = parts
        .network
        .output(&repeated, upload(&z_t), batch.draws.t.clone());
    let (mut denoise, mut bounded) = (0.0, 0);
    for (row, own) in rows(&output).into_iter().enumerate() {
        let (snr, alpha_bar) = (log_snr[row].exp(), sigmoid(log_snr[row]));
        let latent = |y: usize| {
            let product: f64 = z_t[row].iter().zip(&w[y]).map(|(z, u)| z * u).sum();
            alpha_bar.sqrt() * product / (1.0 - alpha_bar) - 0.5 * snr * norms[y]
        };
        let logits: Vec<f64> = match settings.skip {
            true => (0..CLASSES).map(|y| own[y] + latent(y)).collect(),
            false => own.clone(),
        };
        let error = match settings.loss {
            DenoisingLoss::SquaredError => {
                let p = softmax(&logits);
                let u_hat = |j: usize| (0..CLASSES).map(|y| p[y] * w[y][j]).sum::<f64>();
                let squares = (0..4).map(|j| (u_hat(j) - w[label(row)][j]).powi(2));
                0.5 * squares.sum::<f64>()
            }
            DenoisingLoss::CrossEntropy => {
                let of_class = |y| negative_log_softmax(&own, y);
                let uniform = (0..CLASSES).map(of_class).sum::<f64>() / CLASSES as f64;
                (1.0 - settings.label_smoothing) * negative_log_softmax(&logits, label(row))
                    + settings.label_smoothing * uniform
            }
        };
        let limit = settings.max_snr.unwrap_or(f64::INFINITY);
        bounded += usize::from(snr > limit);
        let weight = match settings.weight {
            Weighting::Snr => log_snr_prime[row] * snr.min(limit),
            Weighting::Flat => log_snr_prime[row] / (ends[1] - ends[0]),
        };
        denoise += settings.eta * weight * error / (BATCH * DRAWS) as f64;
    }

    let z_1: Vec<Vec<f64>> = (0..BATCH)
        .map(|i| latents(i % CLASSES, ends[1], &noise_1[i]))
        .collect();
    let (mut ce, mut kl) = (0.0, 0.0);
    for (i, out) in rows(&model.readout(&features, upload(&z_1)))
        .iter()
        .enumerate()
    {
        ce += negative_log_softmax(out, i % CLASSES) / BATCH as f64;
        let alpha_bar = sigmoid(ends[0]);
        let norm = norms[i % CLASSES];
        kl += 0.5 * (alpha_bar * (norm - 4.0) - 4.0 * (1.0 - alpha_bar).ln()) / BATCH as f64;
    }
    Terms {
        ce,
        kl,
        denoise,
        bounded,
    }
}

/// Every term of every form of the loss in f64. The comparison fails where draws of an image are not in
/// succession (`repeat_dim` in place of `repeat`), where smoothing uses the logits with the skip connection,
/// where that connection lacks ‖u_y‖², where the flat weight is λ′ alone, and where the bound is on SNR′.
#[test]
fn terms_with_skip_draws_and_weights_are_those_of_the_table() {
    let device = Device::flex();
    let new = Ct {
        eta: 0.7,
        loss: DenoisingLoss::CrossEntropy,
        weight: Weighting::Flat,
        label_smoothing: 0.2,
        skip: true,
        draws: DRAWS,
        ..ct()
    };
    let bounded = Ct {
        weight: Weighting::Snr,
        max_snr: Some(1.5),
        ..new.clone()
    };
    let squared = Ct {
        loss: DenoisingLoss::SquaredError,
        label_smoothing: 0.0,
        ..bounded.clone()
    };
    let without_skip = Ct {
        skip: false,
        ..new.clone()
    };
    for settings in [new, bounded, squared, without_skip] {
        let method = Method::Ct(settings.clone());
        let model = NoProp::new(&method, &config(), 2, &device).unwrap();
        let batch = batch_of(&method, &device);
        let loss = model.loss(batch.clone());
        let expected = expected_terms(&model, &settings, &batch);
        // Some rows are bounded and some are not, or the bound would not be tested.
        let is_mixed = (4..=BATCH * DRAWS - 4).contains(&expected.bounded);
        assert_eq!(is_mixed, settings.max_snr.is_some(), "{}", expected.bounded);
        let total = expected.ce + expected.kl + expected.denoise;
        for (name, found, expected) in [
            ("ce", &loss.ce, expected.ce),
            ("kl", &loss.kl, expected.kl),
            ("denoise", &loss.denoise, expected.denoise),
            ("total", &loss.total, total),
        ] {
            let found = scalar(found);
            // f32 networks against f64 sums: some ten roundings of numbers of order 1 to 10.
            assert!(
                (found - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "{name} {found} {expected} with {settings:?}"
            );
        }
    }
}

/// With the exact denoiser, half the integral of the squared error over SNR is the entropy of p(y|x) (I-MMSE). It
/// is the mean of the denoising term of eq. 9 over labels, times and noise. The comparison fails without the
/// factor ½ of the squared error, with λ′ in place of SNR′ as the weight, and where the skip connection lacks
/// ‖u_y‖².
#[test]
fn the_denoising_term_of_the_exact_denoiser_is_the_entropy_of_the_labels() {
    const BATCHES: usize = 160;
    const DRAWS: usize = 1024;
    let device = Device::flex();
    let entropy: f64 = P.iter().map(|p| -p * p.ln()).sum();
    let settings = Ct {
        // Less SNR than e^-9 and more than e^7 adds below 1e-3 to the integral.
        schedule: ScheduleConfig::Linear {
            gamma_0: -7.0,
            gamma_1: 9.0,
        },
        skip: true,
        draws: DRAWS,
        time_sampling: TimeSampling::Stratified,
        ..Default::default()
    };
    for class_embedding in [ClassEmbeddingConfig::OneHot, UNEQUAL] {
        let model = exact_mixture(class_embedding, settings.clone());
        // Ten labels in the proportions of p(y|x).
        let labels: Vec<i32> = vec![0, 0, 0, 0, 1, 1, 1, 2, 2, 3];
        let losses: Vec<f64> = (0..BATCHES)
            .map(|i| {
                let mut source = NoiseSource::new(2, Purpose::Training, i as u64);
                let draws = HostDraws::new(&mut source, 10, 4, model.method());
                let batch = Batch {
                    images: Tensor::zeros([10, 1, 4, 4], &device),
                    labels: Tensor::from_data(TensorData::new(labels.clone(), [10]), &device),
                    draws: draws.upload(0..10, &device),
                    dropout: Dropout::Off,
                    block: None,
                };
                scalar(&model.loss(batch).denoise)
            })
            .collect();
        let mean = losses.iter().sum::<f64>() / BATCHES as f64;
        let squares: f64 = losses.iter().map(|loss| (loss - mean).powi(2)).sum();
        let deviation = (squares / (BATCHES * (BATCHES - 1)) as f64).sqrt();
        println!("{mean} ± {deviation}, entropy {entropy}");
        // Four standard errors, and what the ends of the integral cut off.
        let limit = 4.0 * deviation + 2e-3;
        assert!(
            (mean - entropy).abs() < limit,
            "{mean} ± {deviation}, not {entropy}"
        );
        // A limit that were large would prove nothing.
        assert!(limit < 0.02 * entropy, "{limit}");
    }
}

/// The integral over t of the weight of the denoising term on `schedule`, by the midpoint rule.
fn integral_of_weight(settings: &Ct, schedule: NoiseSchedule) -> f64 {
    const TIMES: usize = 4096;
    let device = Device::flex();
    // Without the skip connection the cross-entropy of this network does not depend on z and t.
    let mut model = exact_mixture(ClassEmbeddingConfig::OneHot, settings.clone());
    if let Parts::Ct(parts) = &mut model.parts {
        parts.schedule = schedule;
    }
    let t = (0..TIMES).map(|i| (i as f32 + 0.5) / TIMES as f32);
    let batch = Batch {
        images: Tensor::zeros([TIMES, 1, 4, 4], &device),
        labels: Tensor::from_data(TensorData::new(vec![0_i32; TIMES], [TIMES]), &device),
        draws: Draws {
            t: column(t.collect()),
            noise: Tensor::zeros([TIMES, 4], &device),
            noise_1: Tensor::zeros([TIMES, 4], &device),
        },
        dropout: Dropout::Off,
        block: None,
    };
    scalar(&model.loss(batch).denoise) / -P[0].ln()
}

/// A learned schedule from γ = 3 to −4 whose γ̃ bends at `bend` in the middle.
fn bent(bend: f32) -> NoiseSchedule {
    let config = ScheduleConfig::Learned {
        gamma_0: -4.0,
        gamma_1: 3.0,
        hidden: 2,
    };
    let NoiseSchedule::Learned(mut schedule) = config.init(1, &Device::flex()) else {
        panic!("the schedule is learned")
    };
    let set = |param: Param<Tensor<2>>, values: [f32; 2]| {
        param.map(|tensor| {
            let values = TensorData::new(values.to_vec(), tensor.shape());
            Tensor::from_data(values, &tensor.device())
        })
    };
    // The first unit is nearly linear, the second one a step at t = ½ of width 1/bend.
    schedule.slope = set(schedule.slope, [0.5, bend]);
    schedule.shift = set(schedule.shift, [0.0, -0.5 * bend]);
    schedule.height = set(schedule.height, [0.0, 1.0]);
    NoiseSchedule::Learned(schedule)
}

/// Bending γ between its ends changes no integral of a weight, so a learned schedule cannot lower the loss in this
/// way. The comparison fails for `max_snr` as a bound on SNR′: a steep γ then loses most of the integral.
#[test]
fn no_weight_can_be_emptied_by_bending_the_schedule() {
    let (first, last) = ((-3.0_f64).exp(), 4.0_f64.exp());
    let bound = 2.0_f64;
    let below_bound = bound - first;
    for (weight, max_snr, expected) in [
        (Weighting::Snr, None, last - first),
        (
            Weighting::Snr,
            Some(bound),
            // λ′ SNR up to λ = ln B, then λ′ B.
            below_bound + bound * (4.0 - bound.ln()),
        ),
        (Weighting::Flat, None, 1.0),
    ] {
        let settings = Ct {
            loss: DenoisingLoss::CrossEntropy,
            weight,
            max_snr,
            ..Default::default()
        };
        for bend in [0.5, 4.0, 20.0] {
            let found = integral_of_weight(&settings, bent(bend));
            println!("{weight:?}, bound {max_snr:?}, bend {bend}: {found}, expected {expected}");
            // The midpoint rule with 4,096 points misses 1e-5 of the steepest integrand; f32 adds 1e-6 per row.
            assert!(
                (found / expected - 1.0).abs() < 1e-4,
                "{weight:?}, bound {max_snr:?}, bend {bend}: {found}, expected {expected}"
            );
        }
    }
}
