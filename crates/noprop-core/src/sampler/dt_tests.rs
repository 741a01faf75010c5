//! Walks of NoProp-DT, and what sees the latents.

use super::ancestral::Posterior;
use super::tests::{CLASSES, constant_model, number};
use super::*;
use crate::backbone::{BackboneConfig, CnnConfig};
use crate::config::ModelConfig;
use crate::noise::{NoiseSource, Purpose};
use crate::schedule::ScheduleConfig;

/// a_t, b_t and c_t of the shifted cosine at T = 10, t = 1 … 10, from a script of its own.
const SHIFTED_COSINE: [[f64; 3]; 10] = [
    [0.1963, 0.4787, 0.70778],
    [0.2225, 0.6187, 0.49637],
    [0.2426, 0.6725, 0.36396],
    [0.2641, 0.6893, 0.27308],
    [0.2908, 0.6839, 0.20560],
    [0.3262, 0.6606, 0.15239],
    [0.3757, 0.6180, 0.10847],
    [0.4483, 0.5491, 0.07107],
    [0.5617, 0.4375, 0.03896],
    [0.7521, 0.2478, 0.01292],
];

fn cosine(steps: usize) -> ModelConfig {
    ModelConfig {
        classes: CLASSES,
        embed_dim: 8,
        input: [1, 8, 8],
        backbone: BackboneConfig::Cnn(CnnConfig {
            width: 2,
            dropout: 0.0,
        }),
        schedule: ScheduleConfig::Cosine {
            steps,
            form: Default::default(),
        },
        ..Default::default()
    }
}

#[test]
fn the_posterior_of_the_cosine_schedule_is_its_table() {
    let schedule = cosine(10).schedule.init(0, &Device::flex());
    let point = schedule.at(even_times(10, &Device::flex()));
    for (k, expected) in SHIFTED_COSINE.into_iter().enumerate() {
        let at = |field: &Tensor<2>, k: usize| field.clone().narrow(0, k, 1);
        let Posterior { a, b, c } = Posterior::new(
            at(&point.alpha_bar, k),
            at(&point.sigma_squared, k),
            at(&point.alpha_bar, k + 1),
            at(&point.sigma_squared, k + 1),
        );
        // Half of the last digit of the table.
        for (found, (expected, digit)) in [a, b, c]
            .into_iter()
            .zip(expected.into_iter().zip([1e-4, 1e-4, 1e-5]))
        {
            let found = number(found);
            assert!(
                (found - expected).abs() < 0.6 * digit,
                "t = {}: {found} {expected}",
                k + 1
            );
        }
    }
}

/// Each step of a NoProp-DT walk takes the block of its place, by eq. 3 and by DDIM, in f64 on the host.
#[test]
fn every_step_of_a_walk_takes_its_own_block() {
    const STEPS: usize = 4;
    let model = NoProp::new(&cosine(STEPS), 1, &Device::flex()).unwrap();
    let values = NoiseSource::new(3, Purpose::Initialising, 0).normal(2 * STEPS * 8);
    let values = TensorData::new(values, [2, STEPS * 8]);
    let features = model.prepare(Tensor::from_data(values, &Device::flex()));
    let alpha_bar = |k: usize| {
        let angle = core::f64::consts::FRAC_PI_2 * (k + 1) as f64 / (STEPS + 2) as f64;
        angle.sin().powi(2)
    };
    for kind in [SamplerKind::Ancestral, SamplerKind::Ddim] {
        let sampling = Sampling {
            kind,
            steps: STEPS,
            seed: 5,
        };
        sampling.check(model.config()).unwrap();
        let mut noise: Vec<NoiseSource> = (0..2)
            .map(|image| NoiseSource::new(5, Purpose::Ancestral, image))
            .collect();
        let mut z = sampling.initial(&model, 0, 2);
        let start = z.clone();
        let mut latents = Vec::new();
        sampling.run_from(&model, &features, start, 0, &mut |_, z| {
            latents.push(z.clone())
        });
        for (k, found) in latents.into_iter().enumerate() {
            let host = |x: Tensor<2>| x.into_data().try_to_vec::<f32>().unwrap();
            let u_hat = host(model.denoise_block(&features, k, z.clone()).u_hat);
            let (from, to) = (alpha_bar(k), alpha_bar(k + 1));
            let alpha = from / to;
            let (a, b, spread) = if kind == SamplerKind::Ancestral {
                let rest = 1.0 - from;
                (
                    to.sqrt() * (1.0 - alpha) / rest,
                    alpha.sqrt() * (1.0 - to) / rest,
                    ((1.0 - to) * (1.0 - alpha) / rest).sqrt(),
                )
            } else {
                let keep = ((1.0 - to) / (1.0 - from)).sqrt();
                (to.sqrt() - keep * from.sqrt(), keep, 0.0)
            };
            let epsilon: Vec<f32> = noise
                .iter_mut()
                .flat_map(|source| source.normal(CLASSES))
                .collect();
            let before = host(z);
            for (i, found) in host(found.clone()).into_iter().enumerate() {
                let [u, z, e] = [u_hat[i], before[i], epsilon[i]].map(f64::from);
                let expected = a * u + b * z + spread * e;
                // Three products of numbers of order 1 in f32.
                assert!(
                    (f64::from(found) - expected).abs() < 2e-6,
                    "{kind}, step {k}: {found} {expected}"
                );
            }
            z = found;
        }
    }
}

#[test]
fn noprop_dt_walks_in_its_own_number_of_steps_only() {
    let config = cosine(4);
    for kind in SamplerKind::ALL {
        let walks = matches!(kind, SamplerKind::Ddim | SamplerKind::Ancestral);
        for steps in [1, 4, 40] {
            let sampling = Sampling {
                kind,
                steps,
                seed: 0,
            };
            assert_eq!(sampling.check(&config).is_ok(), walks && steps == 4);
            assert!(sampling.check(&ModelConfig::default()).is_ok());
        }
    }
}

#[test]
fn swapped_latents_change_a_walk_only_where_the_denoiser_looks_at_them() {
    let difference = |model: &NoProp, width: usize, steps: usize| {
        let values = NoiseSource::new(3, Purpose::Initialising, 0).normal(3 * width);
        let values = TensorData::new(values, [3, width]);
        let features = model.prepare(Tensor::from_data(values, &Device::flex()));
        let sampling = Sampling {
            kind: SamplerKind::Ddim,
            steps,
            seed: 5,
        };
        let usual = sampling.run(model, &features, 0);
        let swapped = sampling.run_on_swapped_latents(model, &features, 0);
        (usual - swapped).abs().max().into_scalar::<f32>()
    };
    assert_eq!(difference(&constant_model(), 8, 5), 0.0);
    let model = NoProp::new(&cosine(4), 1, &Device::flex()).unwrap();
    assert!(difference(&model, 4 * 8, 4) > 1e-3);
}
