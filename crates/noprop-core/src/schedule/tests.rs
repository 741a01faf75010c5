use super::*;
use crate::noise::initialised;

fn times(n: usize) -> Vec<f32> {
    (0..=n).map(|i| i as f32 / n as f32).collect()
}

fn column(values: &[f32]) -> Tensor<2> {
    Tensor::from_data(
        TensorData::new(values.to_vec(), [values.len(), 1]),
        &Device::flex(),
    )
}

fn host(tensor: Tensor<2>) -> Vec<f64> {
    tensor
        .into_data()
        .try_to_vec::<f32>()
        .unwrap()
        .into_iter()
        .map(f64::from)
        .collect()
}

fn learned(seed: u64) -> NoiseSchedule {
    ScheduleConfig::default().init(seed, &Device::flex())
}

#[test]
fn a_thousand_random_initialisations_are_monotone() {
    for seed in 0..1000 {
        let point = learned(seed).at(column(&times(64)));
        let gamma = host(point.log_snr.neg());
        assert!(
            gamma.windows(2).all(|w| w[1] < w[0]),
            "seed {seed}: {gamma:?}"
        );
        assert!(
            host(point.snr_prime).iter().all(|&p| p > 0.0),
            "seed {seed}"
        );
    }
}

#[test]
fn the_ends_are_exact() {
    for seed in 0..20 {
        let gamma = host(learned(seed).at(column(&[0.0, 1.0])).log_snr.neg());
        // γ̄ is 0 and 1 up to rounding; γ has magnitude 7, f32 has 24 bits.
        assert!(
            (gamma[0] - 7.0).abs() < 5e-6 && (gamma[1] + 7.0).abs() < 5e-6,
            "{gamma:?}"
        );
    }
}

#[test]
fn gamma_1_stays_above_gamma_0_whatever_the_parameters() {
    let NoiseSchedule::Learned(mut schedule) = learned(1) else {
        panic!("not learned")
    };
    for raw in [-15.0, -1.0, 0.0, 30.0] {
        schedule.gap = scalar(raw, &Device::flex());
        let gamma = host(schedule.at(column(&[0.0, 1.0])).log_snr.neg());
        assert!(gamma[0] > gamma[1], "gap {raw}: {gamma:?}");
    }
}

#[test]
fn fields_agree_with_each_other() {
    let point = learned(3).at(column(&times(10)));
    let (alpha_bar, sigma, log_snr) = (
        host(point.alpha_bar),
        host(point.sigma_squared),
        host(point.log_snr),
    );
    for i in 0..alpha_bar.len() {
        assert!((alpha_bar[i] + sigma[i] - 1.0).abs() < 1e-6);
        assert!(((alpha_bar[i] / sigma[i]).ln() - log_snr[i]).abs() < 1e-5);
    }
}

/// Central differences of SNR(t) = exp(λ(t)) in f64, from λ in f32.
fn check_derivative(schedule: &NoiseSchedule, t: &[f32]) {
    let h = 4e-3_f32;
    let shifted = |by: f32| column(&t.iter().map(|t| t + by).collect::<Vec<_>>());
    let log_snr = |by: f32| host(schedule.at(shifted(by)).log_snr);
    let (up, down) = (log_snr(h), log_snr(-h));
    let point = schedule.at(column(t));
    let (here, exact) = (host(point.log_snr), host(point.snr_prime));
    for i in 0..t.len() {
        let width = f64::from(t[i] + h) - f64::from(t[i] - h);
        let gamma_prime = -(up[i] - down[i]) / width;
        let difference = -gamma_prime * here[i].exp();
        // λ is known to 1e-6, the step is 8e-3, λ′ is of order 10; curvature adds h².
        assert!(
            (difference / exact[i] - 1.0).abs() < 2e-3,
            "t = {}: SNR′ = {}, by differences {difference}",
            t[i],
            exact[i]
        );
    }
}

#[test]
fn snr_prime_agrees_with_finite_differences() {
    let t: Vec<f32> = (1..20).map(|i| i as f32 / 20.0).collect();
    for seed in 0..10 {
        check_derivative(&learned(seed), &t);
    }
    let linear = ScheduleConfig::Linear {
        gamma_0: -5.0,
        gamma_1: 4.0,
    };
    check_derivative(&linear.init(0, &Device::flex()), &t);
}

#[test]
fn the_references_snr_prime_agrees_with_finite_differences_or_is_clamped_to_zero() {
    let device = Device::flex();
    let config =
        || NoiseSchedule::Reference(ReferenceSchedule::new(-5.0, 5.0, 64, 1.0, 1e-5, &device));
    // Not every initialisation of this schedule is monotone; the test takes one that is.
    let monotone = (0..50)
        .map(|seed| initialised(&device, seed, config))
        .find(|schedule| {
            let log_snr = host(schedule.at(column(&times(50))).log_snr);
            log_snr.windows(2).all(|w| w[1] > w[0] + 0.05)
        })
        .expect("nine of ten are monotone");
    check_derivative(&monotone, &[0.2, 0.35, 0.5, 0.65, 0.8]);

    let clamped = || ReferenceSchedule::new(-7.0, 7.0, 64, 0.5, 0.4, &device);
    let point = initialised(&device, 0, clamped).at(column(&[0.0, 1.0]));
    assert_eq!(host(point.snr_prime), [0.0, 0.0]);
    let alpha_bar = host(point.alpha_bar);
    assert!((alpha_bar[0] - 0.4).abs() < 1e-6 && (alpha_bar[1] - 0.6).abs() < 1e-6);
}

#[test]
fn expected_snr_prime_is_the_difference_of_the_ends() {
    // ∫₀¹ SNR′ dt = SNR(1) − SNR(0), by Simpson's rule on a milder schedule.
    let config = ScheduleConfig::Learned {
        gamma_0: -2.0,
        gamma_1: 3.0,
        hidden: 16,
    };
    let n = 400;
    let point = config.init(5, &Device::flex()).at(column(&times(n)));
    let prime = host(point.snr_prime);
    let weight = |i: usize| {
        if i == 0 || i == n {
            1.0
        } else {
            [2.0, 4.0][i % 2]
        }
    };
    let integral: f64 = (0..=n).map(|i| weight(i) * prime[i]).sum::<f64>() / (3.0 * n as f64);
    let exact = 2_f64.exp() - (-3_f64).exp();
    assert!(
        (integral / exact - 1.0).abs() < 1e-4,
        "{integral} against {exact}"
    );
}

#[test]
fn kl_is_that_of_the_closed_form() {
    let u = Tensor::<2>::from_data([[1.0, 0.0, 2.0]], &Device::flex());
    let kl = host(kl_to_standard_normal(u, column(&[-1.5])))[0];
    let alpha_bar = 1.0 / (1.0 + 1.5_f64.exp());
    // Per coordinate: ½(μ² + σ² − 1 − ln σ²) with μ = √ᾱ u, σ² = 1 − ᾱ.
    let expected: f64 = [1.0_f64, 0.0, 2.0]
        .iter()
        .map(|u| 0.5 * (alpha_bar * u * u + (1.0 - alpha_bar) - 1.0 - (1.0 - alpha_bar).ln()))
        .sum();
    assert!((kl - expected).abs() < 1e-6, "{kl} against {expected}");
}

#[test]
fn ends_in_the_wrong_order_are_refused() {
    let config = ScheduleConfig::Linear {
        gamma_0: 3.0,
        gamma_1: -3.0,
    };
    assert!(
        config
            .validate()
            .unwrap_err()
            .to_string()
            .contains("gamma_0 < gamma_1")
    );
}

#[test]
fn times_even_in_log_snr_are_even_and_reach_both_ends() {
    for seed in 0..20 {
        let schedule = learned(seed);
        for steps in [1, 2, 5, 40, 200] {
            let t = schedule.times_even_in_log_snr(steps, &Device::flex());
            let times = host(t.clone());
            assert_eq!((times[0], times[steps]), (0.0, 1.0), "seed {seed}");
            let log_snr = host(schedule.at(t).log_snr);
            for (k, found) in log_snr.iter().enumerate() {
                let wanted = -7.0 + 14.0 * k as f64 / steps as f64;
                // A line between knots 1/1024 apart misses by |λ″|/(8·1024²); λ″ is below 200
                // here. f32 adds 1e-6 of 7 and of t, which the slope of λ multiplies.
                assert!(
                    (found - wanted).abs() < 5e-4,
                    "seed {seed}, T = {steps}, k = {k}: {found}, not {wanted}"
                );
            }
        }
    }
}

#[test]
fn flat_schedules_still_give_times_in_order() {
    let device = Device::flex();
    let schedule =
        NoiseSchedule::Reference(ReferenceSchedule::new(-7.0, 7.0, 64, 0.5, 0.4, &device));
    let times = host(schedule.times_even_in_log_snr(10, &Device::flex()));
    assert!(times.iter().all(|t| (0.0..=1.0).contains(t)), "{times:?}");
}

/// The divergence where ᾱ₀ is far below the resolution of 1 − ᾱ₀ in f32. The comparison fails where
/// ln(1 − ᾱ₀) is computed from ᾱ₀.
#[test]
fn kl_is_positive_and_exact_where_little_signal_is_left() {
    for gamma_1 in [16.0_f64, 20.0, 28.0] {
        let mut one_hot = vec![0.0_f32; 10];
        one_hot[3] = 1.0;
        let u = Tensor::<2>::from_data(TensorData::new(one_hot, [1, 10]), &Device::flex());
        let kl = host(kl_to_standard_normal(u, column(&[-gamma_1 as f32])))[0];
        let alpha_bar = 1.0 / (1.0 + gamma_1.exp());
        // ½[ᾱ₀(‖u‖² − d) − d ln(1 − ᾱ₀)] for ‖u‖² = 1 and d = 10. The two terms cancel to a tenth, so f32 loses
        // one digit of seven.
        let expected = 0.5 * (alpha_bar * (1.0 - 10.0) - 10.0 * (-alpha_bar).ln_1p());
        assert!(kl > 0.0, "γ₁ = {gamma_1}: {kl}");
        assert!(
            (kl / expected - 1.0).abs() < 1e-5,
            "γ₁ = {gamma_1}: {kl}, not {expected}"
        );
    }
}

/// A learned schedule from γ = `gamma_1` to `gamma_0`, whatever a recipe may ask for.
fn learned_between(gamma_0: f64, gamma_1: f64, device: &Device) -> NoiseSchedule {
    NoiseSchedule::Learned(LearnedSchedule::new(gamma_0, gamma_1, 8, 4, device))
}

/// A γ that training has driven to ±100 overflows nowhere. The test fails without the clamp of γ.
#[test]
fn a_gamma_that_runs_away_has_finite_fields_and_gradients() {
    let device = Device::flex().autodiff();
    let schedule = learned_between(-100.0, 100.0, &device);
    let t = Tensor::from_data(TensorData::new(times(32), [33, 1]), &device);
    let point = schedule.at(t);
    let fields = [
        point.alpha_bar,
        point.sigma_squared,
        point.log_snr,
        point.log_snr_prime,
        point.snr_prime,
    ];
    for (i, field) in fields.iter().enumerate() {
        let values = host(field.clone());
        assert!(
            values.iter().all(|x| x.is_finite()),
            "field {i}: {values:?}"
        );
        assert!(
            i == 2 || values.iter().all(|&x| x >= 0.0),
            "field {i}: {values:?}"
        );
    }
    let [alpha_bar, sigma_squared, log_snr, log_snr_prime, snr_prime] = fields;
    // SNR′ reaches 1e15, so it is scaled to the size of the others.
    let sum = alpha_bar + sigma_squared + log_snr + log_snr_prime + snr_prime.mul_scalar(1e-13);
    let gradients = sum.sum().backward();
    let NoiseSchedule::Learned(schedule) = schedule else {
        panic!("the schedule is learned")
    };
    let gradient = |name: &str, values: Vec<f32>| {
        assert!(values.iter().all(|x| x.is_finite()), "{name}: {values:?}");
    };
    let read = |tensor: Option<Tensor<1>>| tensor.unwrap().into_data().try_to_vec().unwrap();
    gradient("gamma_0", read(schedule.gamma_0.grad(&gradients)));
    gradient("gap", read(schedule.gap.grad(&gradients)));
    let read = |tensor: Option<Tensor<2>>| tensor.unwrap().into_data().try_to_vec().unwrap();
    gradient("slope", read(schedule.slope.grad(&gradients)));
    gradient("shift", read(schedule.shift.grad(&gradients)));
    gradient("height", read(schedule.height.grad(&gradients)));
}

/// Where γ is clamped, λ is constant, and λ′ and SNR′ are 0, as the derivatives of what the other fields say. The
/// test fails where λ′ is that of the γ before the clamp.
#[test]
fn derivatives_are_zero_where_gamma_is_clamped() {
    let n = 4000;
    let point = learned_between(-100.0, 100.0, &Device::flex()).at(column(&times(n)));
    let (log_snr, prime) = (host(point.log_snr), host(point.log_snr_prime));
    let snr_prime = host(point.snr_prime);
    assert_eq!((prime[0], snr_prime[0]), (0.0, 0.0));
    assert_eq!((prime[n], snr_prime[n]), (0.0, 0.0));
    let inner: f64 = prime[1..n].iter().sum::<f64>() / n as f64;
    // The midpoint rule with jumps of λ′ to 0 at two places, by some 200/4000 each.
    let range = log_snr[n] - log_snr[0];
    assert!((range - 60.0).abs() < 1e-3, "{range}");
    assert!((inner - range).abs() < 0.2, "{inner} against {range}");
}
