use burn::module::{Module, ModuleMapper, Param};
use proptest::prelude::*;

use super::ancestral::Posterior;
use super::*;
use crate::backbone::{BackboneConfig, CnnConfig};
use crate::config::ModelConfig;
use crate::schedule::ScheduleConfig;

const CLASSES: usize = 4;

fn value(x: f64) -> Tensor<2> {
    Tensor::full([1, 1], x, &Device::flex())
}

fn number(x: Tensor<2>) -> f64 {
    f64::from(x.into_scalar::<f32>())
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A model whose denoiser says the same whatever it sees: û = (1/m, …, 1/m).
fn constant_model() -> NoProp {
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
        schedule: ScheduleConfig::Linear {
            gamma_0: -7.0,
            gamma_1: 7.0,
        },
        ..Default::default()
    };
    let mut model = NoProp::new(&config, 1, &Device::flex()).unwrap();
    model.denoiser = model.denoiser.map(|denoiser| denoiser.map(&mut Zero));
    model
}

/// Largest |z_1 − exact| of `kind` at T = `steps` for the constant û, on three images.
fn error_against_closed_form(kind: SamplerKind, steps: usize) -> f64 {
    let model = constant_model();
    let features = model.prepare(Tensor::zeros([3, 8], &Device::flex()));
    let sampling = Sampling {
        kind,
        steps,
        seed: 5,
    };
    let z_0 = sampling.initial(&model, 0, 3);
    let z_1 = sampling.run_from(&model, &features, z_0.clone(), 0, &mut |_, _| {});
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
    // Specification §4.3: γ linear from 7 to −7, u = 1.3, ε = 0.37.
    for (t, path, reference) in [
        (0.10, 0.540792, 0.85492),
        (0.37, 2.589206, 0.54770),
        (0.50, 2.301633, 0.23826),
        (0.80, -0.176713, -2.39163),
    ] {
        let alpha_bar: f64 = sigmoid(14.0 * t - 7.0);
        let z = alpha_bar.sqrt() * 1.3 + (1.0 - alpha_bar).sqrt() * 0.37;
        let in_lambda = number(lambda::velocity(value(1.3), value(z), value(alpha_bar)));
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
        let error = error_against_closed_form(SamplerKind::Ddim, steps);
        // f32 rounding, once per step.
        assert!(error < 1e-6 * (steps + 1) as f64, "T = {steps}: {error}");
    }
}

#[test]
fn euler_converges_with_order_one_and_heun_with_order_two() {
    for (kind, order) in [(SamplerKind::Euler, 1.0), (SamplerKind::Heun, 2.0)] {
        let coarse = error_against_closed_form(kind, 40);
        let fine = error_against_closed_form(kind, 80);
        let measured = (coarse / fine).log2();
        // The next order of the error still contributes at these step sizes.
        assert!(
            (measured - order).abs() < 0.25,
            "{kind}: order {measured}, errors {coarse}, {fine}"
        );
    }
}

#[test]
fn few_steps_are_stable_however_the_learned_schedule_bends() {
    for seed in 0..5 {
        let mut model = constant_model();
        model.schedule = ScheduleConfig::default().init(seed, &Device::flex());
        let features = model.prepare(Tensor::zeros([3, 8], &Device::flex()));
        for kind in [SamplerKind::Euler, SamplerKind::Heun] {
            for steps in 1..12 {
                let sampling = Sampling {
                    kind,
                    steps,
                    seed: 3,
                };
                let z_1 = sampling.run(&model, &features, 0);
                let worst = (z_1 - 0.25).abs().max().into_scalar::<f32>();
                // û = 1/4 and |z_0| reaches about 2.5: what is left of it must be small. Without
                // the guard T = 1 alone leaves more than 2.
                assert!(worst < 0.5, "{kind}, seed {seed}, T = {steps}: {worst}");
            }
        }
    }
}

#[test]
fn the_references_heun_amplifies_at_small_t() {
    // Its last step multiplies z − û by 1 − ½h_n − ½h_{n+1}(1 − h_n); with ᾱ(1) = σ(7) and
    // T = 5 the factor is in the hundreds, where a sound sampler contracts.
    let model = constant_model();
    let features = model.prepare(Tensor::zeros([1, 8], &Device::flex()));
    let end = |kind| {
        let sampling = Sampling {
            kind,
            steps: 5,
            seed: 5,
        };
        sampling
            .run(&model, &features, 0)
            .abs()
            .max()
            .into_scalar::<f32>()
    };
    assert!(end(SamplerKind::ReferenceHeun) > 20.0 * end(SamplerKind::Heun));
}

#[test]
fn trajectories_depend_on_the_seed_and_on_the_image_alone() {
    let model = constant_model();
    for kind in SamplerKind::ALL {
        let run = |seed, first, count| {
            let features = model.prepare(Tensor::zeros([count, 8], &Device::flex()));
            let sampling = Sampling {
                kind,
                steps: 3,
                seed,
            };
            sampling
                .run(&model, &features, first)
                .into_data()
                .try_to_vec::<f32>()
                .unwrap()
        };
        let all = run(1, 0, 4);
        assert_eq!(all, run(1, 0, 4), "{kind} is not deterministic");
        assert_eq!(
            all[2 * CLASSES..],
            run(1, 2, 2),
            "{kind} depends on the batch"
        );
        assert_ne!(all, run(2, 0, 4), "{kind} ignores the seed");
    }
}

#[test]
fn the_observer_sees_every_step_and_the_last_is_the_result() {
    let model = constant_model();
    let features = model.prepare(Tensor::zeros([2, 8], &Device::flex()));
    let sampling = Sampling {
        kind: SamplerKind::Heun,
        steps: 6,
        seed: 0,
    };
    let mut seen = Vec::new();
    let z_0 = sampling.initial(&model, 0, 2);
    let z_1 = sampling.run_from(&model, &features, z_0, 0, &mut |k, z| {
        seen.push((k, z.clone()))
    });
    assert_eq!(
        seen.iter().map(|(k, _)| *k).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(seen[5].1.to_data(), z_1.into_data());
}

#[test]
fn names_are_read_as_they_are_printed() {
    for kind in SamplerKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert!("rk4".parse::<SamplerKind>().unwrap_err().contains("ddim"));
}

proptest! {
    /// Identities of §2: the posterior carries q(z_{t−1}|y) to q(z_t|y), and its weight is half
    /// the difference of the signal-to-noise ratios.
    #[test]
    fn posterior_identities(low in -6.0_f64..5.0, gap in 0.05_f64..4.0) {
        let (from, to) = (sigmoid(low), sigmoid(low + gap));
        let Posterior { a, b, c } = Posterior::new(
            value(from), value(sigmoid(-low)), value(to), value(sigmoid(-low - gap)),
        );
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
