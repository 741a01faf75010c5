//! Tests of walks of NoProp-DT and of walks with swapped latents.

use burn::tensor::Device;

use super::ancestral::Posterior;
use super::tests::{CLASSES, constant_model, number};
use super::*;
use crate::backbone::{BackboneConfig, CnnConfig};
use crate::config::ModelConfig;
use crate::method::{Dt, Method};
use crate::model::NoProp;
use crate::noise::{NoiseSource, Purpose};
use crate::schedule::DiscreteSchedule;

/// a_t, b_t and c_t of the shifted cosine schedule at T = 10, t = 1 … 10, computed apart from this crate.
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

fn discrete(steps: usize) -> NoProp {
    let config = ModelConfig {
        classes: CLASSES,
        embed_dim: 8,
        input: [1, 8, 8],
        backbone: BackboneConfig::Cnn(CnnConfig {
            width: 2,
            dropout: 0.0,
        }),
        ..Default::default()
    };
    let method = Method::Dt(Dt {
        steps,
        ..Default::default()
    });
    NoProp::new(&method, &config, 1, &Device::flex()).unwrap()
}

#[test]
fn the_posterior_of_the_cosine_schedule_is_its_table() {
    let schedule = DiscreteSchedule::new(10, Default::default());
    let point = schedule.at(even_times(10, &Device::flex()));
    for (k, expected) in SHIFTED_COSINE.into_iter().enumerate() {
        let Posterior { a, b, c } = Posterior::new(&point.row(k), &point.row(k + 1));
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

/// Each step of a NoProp-DT walk uses its own block, by eq. 3 and by DDIM, checked in f64 on the host.
#[test]
fn every_step_of_a_walk_takes_its_own_block() {
    const STEPS: usize = 4;
    let model = discrete(STEPS);
    let values = NoiseSource::new(3, Purpose::Initialising, 0).normal(2 * STEPS * 8);
    let values = TensorData::new(values, [2, STEPS * 8]);
    let features = model.prepare(Tensor::from_data(values, &Device::flex()));
    let alpha_bar = |k: usize| {
        let angle = core::f64::consts::FRAC_PI_2 * (k + 1) as f64 / (STEPS + 2) as f64;
        angle.sin().powi(2)
    };
    for sampler in [ANCESTRAL, DDIM] {
        let walk = Walk::new(sampler, STEPS).with_seed(5);
        let mut noise: Vec<NoiseSource> = (0..2)
            .map(|image| NoiseSource::new(5, Purpose::Ancestral, image))
            .collect();
        let mut z = model.initial_latents(&walk, 0, 2);
        let start = z.clone();
        let mut latents = Vec::new();
        let mut observe = |_, z: &Tensor<2>| latents.push(z.clone());
        model
            .walk_from(&features, start, &walk, 0, &mut observe)
            .unwrap();
        for (k, found) in latents.into_iter().enumerate() {
            let host = |x: Tensor<2>| x.into_data().try_to_vec::<f32>().unwrap();
            let u_hat = host(
                model
                    .estimate(&features, z.clone(), k as f32 / STEPS as f32)
                    .u_hat,
            );
            let (from, to) = (alpha_bar(k), alpha_bar(k + 1));
            let alpha = from / to;
            let (a, b, spread) = if sampler == ANCESTRAL {
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
                    "{sampler}, step {k}: {found} {expected}"
                );
            }
            z = found;
        }
    }
}

#[test]
fn noprop_dt_walks_in_its_own_number_of_steps_only() {
    let model = discrete(4);
    for sampler in SAMPLERS {
        let walks = [DDIM, ANCESTRAL, ENSEMBLE].contains(sampler);
        for steps in [0, 1, 4, 40] {
            let check = model.method().check_walk(&Walk::new(*sampler, steps));
            assert_eq!(check.is_ok(), walks && steps == 4, "{sampler} {steps}");
        }
    }
}

#[test]
fn swapped_latents_change_a_walk_only_where_the_denoiser_looks_at_them() {
    let difference = |model: &NoProp, width: usize, steps: usize| {
        let values = NoiseSource::new(3, Purpose::Initialising, 0).normal(3 * width);
        let values = TensorData::new(values, [3, width]);
        let features = model.prepare(Tensor::from_data(values, &Device::flex()));
        let walk = Walk::new(DDIM, steps).with_seed(5);
        let usual = model.walk(&features, &walk, 0).unwrap();
        let swapped = model
            .walk_seeing(&features, &walk, 0, SeenLatents::OfAnotherImage)
            .unwrap();
        (usual - swapped).abs().max().into_scalar::<f32>()
    };
    assert_eq!(difference(&constant_model(), 8, 5), 0.0);
    assert!(difference(&discrete(4), 4 * 8, 4) > 1e-3);
}

/// The ensemble ends at √ᾱ_T û, where û comes from the mean of what the blocks say on a walk by DDIM, without the
/// part of z; computed in f64 on the host. With the part of z in the mean, the test fails.
#[test]
fn the_ensemble_ends_at_the_mean_over_the_blocks() {
    const STEPS: usize = 4;
    let method = Method::Dt(Dt {
        steps: STEPS,
        skip: true,
        ..Default::default()
    });
    let config = discrete(STEPS).config().clone();
    let model = NoProp::new(&method, &config, 1, &Device::flex()).unwrap();
    let values = NoiseSource::new(3, Purpose::Initialising, 0).normal(2 * STEPS * 8);
    let values = TensorData::new(values, [2, STEPS * 8]);
    let features = model.prepare(Tensor::from_data(values, &Device::flex()));
    let Process::Discrete(blocks) = model.process() else {
        panic!("NoProp-DT has blocks")
    };
    let walk = Walk::new(DDIM, STEPS);
    let z_0 = model.initial_latents(&walk, 0, 2);
    let mut sum = [0.0; 2 * CLASSES];
    let mut add = |k: usize, z: &Tensor<2>| {
        let own = blocks.own_logits(&features, z.clone(), k);
        let own = own.into_data().try_to_vec::<f32>().unwrap();
        for (sum, logit) in sum.iter_mut().zip(own) {
            *sum += f64::from(logit) / STEPS as f64;
        }
    };
    add(0, &z_0);
    // Block k sees the latents after step k.
    let mut observe = |k: usize, z: &Tensor<2>| {
        if k < STEPS {
            add(k, z);
        }
    };
    model
        .walk_from(&features, z_0, &walk, 0, &mut observe)
        .unwrap();
    let z_1 = model
        .walk(&features, &Walk::new(ENSEMBLE, STEPS), 0)
        .unwrap();
    let z_1 = z_1.into_data().try_to_vec::<f32>().unwrap();
    let (signal, _) = blocks.schedule.shares(STEPS);
    for (row, found) in sum.chunks(CLASSES).zip(z_1.chunks(CLASSES)) {
        let total: f64 = row.iter().map(|logit| logit.exp()).sum();
        for (logit, &found) in row.iter().zip(found) {
            let expected = signal.sqrt() * logit.exp() / total;
            // f32 networks; a few roundings of numbers below 1.
            assert!(
                (f64::from(found) - expected).abs() < 1e-5,
                "{found} {expected}"
            );
        }
    }
}
