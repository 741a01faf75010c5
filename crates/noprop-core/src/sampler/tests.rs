use burn::module::{Module, ModuleMapper, Param};
use proptest::prelude::*;

use burn::tensor::Device;

use super::ancestral::Posterior;
use super::*;
use crate::config::ModelConfig;
use crate::method::{Ct, Method, Parts};
use crate::model::NoProp;
use crate::schedule::{ScheduleConfig, SchedulePoint};

pub(super) const CLASSES: usize = 4;

fn value(x: f64) -> Tensor<2> {
    Tensor::full([1, 1], x, &Device::flex())
}

pub(super) fn number(x: Tensor<2>) -> f64 {
    f64::from(x.into_scalar::<f32>())
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A model whose estimate is constant: û = (1/m, …, 1/m).
fn constant_model_on(schedule: ScheduleConfig, seed: u64) -> NoProp {
    struct Zero;
    impl ModuleMapper for Zero {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| tensor.zeros_like())
        }
    }
    let config = ModelConfig {
        classes: CLASSES,
        embed_dim: 8,
        input: [1, 8, 8],
        ..Default::default()
    };
    let method = Method::Ct(Ct {
        schedule,
        ..Default::default()
    });
    let mut model = NoProp::new(&method, &config, seed, &Device::flex()).unwrap();
    if let Parts::Ct(parts) = &mut model.parts {
        parts.network.denoiser = parts.network.denoiser.clone().map(&mut Zero);
    }
    model
}

/// The constant model on a schedule that is linear from γ = 7 to −7.
pub(super) fn constant_model() -> NoProp {
    let linear = ScheduleConfig::Linear {
        gamma_0: -7.0,
        gamma_1: 7.0,
    };
    constant_model_on(linear, 1)
}

/// The largest |z_1 − exact solution| of `sampler` at T = `steps` with constant û, over three images.
fn error_against_closed_form(sampler: Sampler, steps: usize) -> f64 {
    let model = constant_model();
    let features = model.prepare(Tensor::zeros([3, 8], &Device::flex()));
    let walk = Walk::new(sampler, steps).with_seed(5);
    let z_0 = model.initial_latents(&walk, 0, 3);
    let z_1 = model.walk(&features, &walk, 0).unwrap();
    let (start, end) = (sigmoid(-7.0), sigmoid(7.0));
    let u_hat = 1.0 / CLASSES as f64;
    let z_0 = z_0.into_data().try_to_vec::<f32>().unwrap();
    let z_1 = z_1.into_data().try_to_vec::<f32>().unwrap();
    z_0.iter()
        .zip(z_1)
        .map(|(&z_0, z_1)| {
            // With û constant, (z − √ᾱ û)/√(1−ᾱ) does not change along the flow.
            let noise = (f64::from(z_0) - start.sqrt() * u_hat) / (1.0 - start).sqrt();
            let exact = end.sqrt() * u_hat + (1.0 - end).sqrt() * noise;
            (f64::from(z_1) - exact).abs()
        })
        .fold(0.0, f64::max)
}

#[test]
fn the_ode_has_the_derivative_of_the_path() {
    // γ linear from 7 to −7, u = 1.3, ε = 0.37; dz/dt = ½ λ′ [√ᾱ û − ᾱ z] and (û − z)/(1 − ᾱ) in f64.
    for (t, path, reference) in [
        (0.10, 0.540792, 0.85492),
        (0.37, 2.589206, 0.54770),
        (0.50, 2.301633, 0.23826),
        (0.80, -0.176713, -2.39163),
    ] {
        let alpha_bar: f64 = sigmoid(14.0 * t - 7.0);
        let z = alpha_bar.sqrt() * 1.3 + (1.0 - alpha_bar).sqrt() * 0.37;
        let in_lambda = number(probability_flow_velocity(
            value(1.3),
            value(z),
            value(alpha_bar),
        ));
        // dλ/dt = 14. Seven digits in f32, times 14, against six printed digits.
        assert!((14.0 * in_lambda - path).abs() < 1e-5, "t = {t}");
        let theirs = number(reference::velocity(
            value(1.3),
            value(z),
            value(1.0 - alpha_bar),
        ));
        assert!((theirs - reference).abs() < 2e-5, "t = {t}: {theirs}");
    }
}

#[test]
fn ddim_is_exact_in_one_step_for_a_constant_estimate() {
    for steps in [1, 2, 7, 50] {
        let error = error_against_closed_form(DDIM, steps);
        // f32 rounding, once per step.
        assert!(error < 1e-6 * (steps + 1) as f64, "T = {steps}: {error}");
    }
}

#[test]
fn euler_converges_with_order_one_and_heun_with_order_two() {
    for (sampler, order) in [(EULER, 1.0), (HEUN, 2.0)] {
        let coarse = error_against_closed_form(sampler, 40);
        let fine = error_against_closed_form(sampler, 80);
        let measured = (coarse / fine).log2();
        // The next order of the error still contributes at these step sizes.
        assert!(
            (measured - order).abs() < 0.25,
            "{sampler}: order {measured}, errors {coarse}, {fine}"
        );
    }
}

#[test]
fn few_steps_are_stable_however_the_learned_schedule_bends() {
    for seed in 0..5 {
        let model = constant_model_on(ScheduleConfig::default(), seed);
        let features = model.prepare(Tensor::zeros([3, 8], &Device::flex()));
        // The samplers with explicit steps on the probability-flow ODE.
        let explicit = Sampler::serving(ProcessKind::Diffusion)
            .filter(|sampler| sampler.steps == StepsEvenIn::Equation);
        for sampler in explicit {
            for steps in 1..12 {
                let walk = Walk::new(sampler, steps).with_seed(3);
                let z_1 = model.walk(&features, &walk, 0).unwrap();
                let worst = (z_1 - 0.25).abs().max().into_scalar::<f32>();
                // û = 1/4 and |z_0| reaches about 2.5: what is left of it must be small. Without
                // the guard T = 1 alone leaves more than 2.
                assert!(worst < 0.5, "{sampler}, seed {seed}, T = {steps}: {worst}");
            }
        }
    }
}

#[test]
fn the_references_heun_amplifies_at_small_t() {
    // The last step multiplies z − û by 1 − ½h_n − ½h_{n+1}(1 − h_n); with ᾱ(1) = σ(7) and
    // T = 5 the factor is in the hundreds, where a sound sampler contracts.
    let model = constant_model();
    let features = model.prepare(Tensor::zeros([1, 8], &Device::flex()));
    let end = |sampler| {
        let walk = Walk::new(sampler, 5).with_seed(5);
        model
            .walk(&features, &walk, 0)
            .unwrap()
            .abs()
            .max()
            .into_scalar::<f32>()
    };
    assert!(end(REFERENCE_HEUN) > 20.0 * end(HEUN));
}

#[test]
fn walks_depend_on_the_seed_and_on_the_image_alone() {
    let model = constant_model();
    for sampler in Sampler::serving(ProcessKind::Diffusion) {
        let run = |seed, first, count| {
            let features = model.prepare(Tensor::zeros([count, 8], &Device::flex()));
            let walk = Walk::new(sampler, 3).with_seed(seed);
            model
                .walk(&features, &walk, first)
                .unwrap()
                .into_data()
                .try_to_vec::<f32>()
                .unwrap()
        };
        let all = run(1, 0, 4);
        assert_eq!(all, run(1, 0, 4), "{sampler} is not deterministic");
        assert_eq!(
            all[2 * CLASSES..],
            run(1, 2, 2),
            "{sampler} depends on the batch"
        );
        assert_ne!(all, run(2, 0, 4), "{sampler} ignores the seed");
    }
}

#[test]
fn the_observer_sees_every_step_and_the_last_is_the_result() {
    let model = constant_model();
    let features = model.prepare(Tensor::zeros([2, 8], &Device::flex()));
    let walk = Walk::new(HEUN, 6).with_seed(0);
    let mut seen = Vec::new();
    let z_0 = model.initial_latents(&walk, 0, 2);
    let mut observe = |k, z: &Tensor<2>| seen.push((k, z.clone()));
    let z_1 = model
        .walk_from(&features, z_0, &walk, 0, &mut observe)
        .unwrap();
    assert_eq!(
        seen.iter().map(|(k, _)| *k).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(seen[5].1.to_data(), z_1.into_data());
}

#[test]
fn names_are_read_as_they_are_printed() {
    for sampler in SAMPLERS {
        assert_eq!(sampler.to_string().parse(), Ok(*sampler));
        let json = serde_json::to_string(sampler).unwrap();
        assert_eq!(serde_json::from_str::<Sampler>(&json).unwrap(), *sampler);
    }
    assert!("rk4".parse::<Sampler>().unwrap_err().contains("ddim"));
}

/// The process where λ = `log_snr`; the tests use ᾱ and 1 − ᾱ only.
fn point(log_snr: f64) -> SchedulePoint {
    SchedulePoint {
        t: value(0.0),
        alpha_bar: value(sigmoid(log_snr)),
        sigma_squared: value(sigmoid(-log_snr)),
        log_snr: value(log_snr),
        log_snr_prime: value(0.0),
        snr_prime: value(0.0),
    }
}

proptest! {
    /// Identities of eq. 5 and 7: the posterior carries q(z_{t−1}|y) to q(z_t|y), and its weight is half
    /// the difference of the signal-to-noise ratios.
    #[test]
    fn posterior_identities(low in -6.0_f64..5.0, gap in 0.05_f64..4.0) {
        let (from, to) = (sigmoid(low), sigmoid(low + gap));
        let Posterior { a, b, c } = Posterior::new(&point(low), &point(low + gap));
        let (a, b, c) = (number(a), number(b), number(c));
        // f32 rounding of a handful of operations on numbers below 1.
        prop_assert!((a + b * from.sqrt() - to.sqrt()).abs() < 5e-5);
        // c = (1−ᾱ_t)(1−α)/(1−ᾱ_{t−1}) divides a cancelled difference by ᾱ_t ≥ 0.0025: 6e-8/0.0025.
        prop_assert!((b * b * (1.0 - from) + c - (1.0 - to)).abs() < 5e-5);
        let snr = |alpha_bar: f64| alpha_bar / (1.0 - alpha_bar);
        let half_difference = 0.5 * (snr(to) - snr(from));
        prop_assert!(c > 0.0);
        // 1 − α cancels where ᾱ is small and the ends are close: 6e-8/(0.0025 · 0.05) relative.
        prop_assert!((a * a / (2.0 * c) / half_difference - 1.0).abs() < 2e-3);
    }
}

#[test]
fn given_ancestral_noise_makes_the_same_walk() {
    let model = constant_model();
    let device = Device::flex();
    let features = model.prepare(Tensor::zeros([3, 8], &device));
    let walk = Walk::new(ANCESTRAL, 5).with_seed(2);
    let z_0 = model.initial_latents(&walk, 4, 3);
    let drawn = model.walk(&features, &walk, 4).unwrap();
    let noise = crate::noise::ancestral_noise(2, 4, 3, 5, CLASSES);
    let noise = Tensor::from_data(TensorData::new(noise, [5, 3, CLASSES]), &device);
    let given = model
        .walk_with_noise(&features, z_0, &walk, noise, &mut |_, _| {})
        .unwrap();
    // Both apply equal operations to equal numbers, so there is no tolerance.
    assert_eq!(number((drawn - given).abs().max().unsqueeze()), 0.0);
}
