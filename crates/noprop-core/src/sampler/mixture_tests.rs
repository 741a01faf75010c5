//! Walks of a network with the exact denoiser. Its estimate depends on z and on t, and what its walks must end
//! at is known.

use burn::tensor::{Device, Tensor};

use super::*;
use crate::embedding::ClassEmbeddingConfig;
use crate::exact_mixture::{EMBED_DIM, P, UNEQUAL, embeddings, exact_mixture, posterior_mean};
use crate::method::Ct;
use crate::model::NoProp;
use crate::network::Features;
use crate::schedule::ScheduleConfig;

/// The exact network on a schedule that is linear between these ends.
fn model(class_embedding: ClassEmbeddingConfig, gamma_0: f64, gamma_1: f64) -> NoProp {
    let schedule = ScheduleConfig::Linear { gamma_0, gamma_1 };
    let ct = Ct {
        schedule,
        skip: true,
        ..Default::default()
    };
    exact_mixture(class_embedding, ct)
}

fn features(model: &NoProp, count: usize) -> Features {
    model.prepare(Tensor::zeros([count, EMBED_DIM], &Device::flex()))
}

fn rows(tensor: Tensor<2>) -> Vec<Vec<f64>> {
    let width = tensor.dims()[1];
    let values: Vec<f64> = tensor.into_data().iter::<f64>().collect();
    values.chunks(width).map(<[f64]>::to_vec).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

/// The class at which each of `count` walks ends, and the largest distance of a z_1 from its class embedding.
fn classes(model: &NoProp, walk: &Walk, count: usize) -> (Vec<usize>, f64) {
    let z_1 = model.walk(&features(model, count), walk, 0).unwrap();
    let w = embeddings(model);
    let mut farthest = 0.0_f64;
    let nearest = |z: Vec<f64>| {
        let distances: Vec<f64> = w.iter().map(|u| distance(&z, u)).collect();
        let order = |a: &usize, b: &usize| distances[*a].total_cmp(&distances[*b]);
        let class = (0..w.len()).min_by(order).unwrap();
        farthest = farthest.max(distances[class]);
        class
    };
    (rows(z_1).into_iter().map(nearest).collect(), farthest)
}

/// Walks from noise draw from p(y|x). The comparison fails without the term −SNR ‖u_y‖²/2 of the skip
/// connection, and with ᾱ in place of √ᾱ in its other term.
#[test]
fn walks_with_the_exact_denoiser_end_at_the_classes_in_proportion_to_their_probabilities() {
    const WALKS: usize = 4000;
    for class_embedding in [ClassEmbeddingConfig::OneHot, UNEQUAL] {
        let model = model(class_embedding, -7.0, 10.0);
        for sampler in [DDIM, HEUN, ANCESTRAL] {
            let walk = Walk::new(sampler, 150).with_seed(1);
            let (classes, farthest) = classes(&model, &walk, WALKS);
            // z_1 is √ᾱ u plus noise of standard deviation 0.03 in each of four coordinates. Between two class
            // embeddings, which are 1.4 apart or more, a walk would be farther from both.
            assert!(farthest < 0.3, "{sampler}: {farthest}");
            for (class, p) in P.into_iter().enumerate() {
                let count = classes.iter().filter(|&&found| found == class).count();
                let deviation = (p * (1.0 - p) / WALKS as f64).sqrt();
                let error = (count as f64 / WALKS as f64 - p) / deviation;
                println!("{sampler}, class {class}: {error:.2} standard deviations");
                assert!(
                    error.abs() < 4.0,
                    "{sampler}, class {class}: {count}, {error}"
                );
            }
        }
    }
}

/// The walk from z_0 = 0, the mean of p(z_0), ends at the likeliest class. The comparison fails where the walk
/// ignores its temperature.
#[test]
fn the_walk_from_zero_ends_at_the_likeliest_class() {
    let model = model(ClassEmbeddingConfig::OneHot, -7.0, 7.0);
    for sampler in [DDIM, EULER, HEUN] {
        for steps in [10, 40] {
            let walk = Walk {
                temperature: 0.0,
                ..Walk::new(sampler, steps)
            };
            let (classes, farthest) = classes(&model, &walk, 20);
            assert_eq!(classes, [0; 20], "{sampler}, T = {steps}");
            assert!(farthest < 0.3, "{sampler}, T = {steps}: {farthest}");
        }
    }
}

/// The end of dz/dλ = ½[√ᾱ û − ᾱ z] from `z` at λ = `from` to λ = `to`, in f64 by 2,000 steps of the classical
/// Runge–Kutta method, whose error is of order 1e-12.
fn reference(mut z: Vec<f64>, from: f64, to: f64, w: &[Vec<f64>]) -> Vec<f64> {
    const STEPS: usize = 2000;
    let slope = |z: &[f64], log_snr: f64| -> Vec<f64> {
        let alpha_bar = 1.0 / (1.0 + (-log_snr).exp());
        let u_hat = posterior_mean(z, log_snr, w);
        let pairs = z.iter().zip(u_hat);
        let along = pairs.map(|(z, u)| 0.5 * (alpha_bar.sqrt() * u - alpha_bar * z));
        along.collect()
    };
    let ahead = |z: &[f64], h: f64, slope: &[f64]| -> Vec<f64> {
        z.iter()
            .zip(slope)
            .map(|(z, slope)| z + h * slope)
            .collect()
    };
    let h = (to - from) / STEPS as f64;
    for k in 0..STEPS {
        let log_snr = from + h * k as f64;
        let first = slope(&z, log_snr);
        let second = slope(&ahead(&z, 0.5 * h, &first), log_snr + 0.5 * h);
        let third = slope(&ahead(&z, 0.5 * h, &second), log_snr + 0.5 * h);
        let fourth = slope(&ahead(&z, h, &third), log_snr + h);
        for j in 0..z.len() {
            z[j] += h / 6.0 * (first[j] + 2.0 * (second[j] + third[j]) + fourth[j]);
        }
    }
    z
}

/// Halving the step halves the error of Euler and of DDIM and quarters that of Heun. The comparison
/// fails where the second stage of Heun evaluates û at the time or at the latents of the first, and where the denoiser
/// gets a time that is 3 % too small.
#[test]
fn orders_hold_where_the_estimate_depends_on_latents_and_time() {
    const IMAGES: usize = 16;
    let model = model(UNEQUAL, -3.0, 3.0);
    let w = embeddings(&model);
    let walk = |sampler, steps| Walk::new(sampler, steps).with_seed(5);
    let z_0 = rows(model.initial_latents(&walk(HEUN, 1), 0, IMAGES));
    let exact: Vec<Vec<f64>> = z_0
        .into_iter()
        .map(|z| reference(z, -3.0, 3.0, &w))
        .collect();
    let error = |sampler, steps| {
        let features = features(&model, IMAGES);
        let z_1 = model.walk(&features, &walk(sampler, steps), 0).unwrap();
        let distances = rows(z_1).into_iter().zip(&exact);
        let squares = distances.map(|(z, exact)| distance(&z, exact).powi(2));
        squares.sum::<f64>().sqrt()
    };
    for (sampler, order) in [(EULER, 1.0), (DDIM, 1.0), (HEUN, 2.0)] {
        let (coarse, fine) = (error(sampler, 40), error(sampler, 80));
        let measured = (coarse / fine).log2();
        println!("{sampler}: order {measured:.3}, errors {coarse:.2e}, {fine:.2e}");
        // The next order of the error still contributes at these step sizes. f32 adds about 1e-6.
        assert!(
            (measured - order).abs() < 0.15,
            "{sampler}: order {measured}"
        );
        assert!(fine > 3e-5, "{sampler}: {fine} is close to rounding");
    }
}
