//! The fixed noise schedules of NoProp-DT: ᾱ_0 < ᾱ_1 < … < ᾱ_T, one step for each block.
//!
//! The paper says “fixed cosine schedule” and no more. There are two cosine forms, and a third one of this
//! project:
//!
//! ```text
//! clipped     ᾱ_t = clip(f(1 − t/T) / f(0), 10⁻⁴, 0.999),  f(u) = cos²((u + s)/(1 + s) · π/2),  s = 0.008
//! shifted     ᾱ_t = sin²(π/2 · (t + 1)/(T + 2))
//! equal-mass  λ_t = μ + s ln(p/(1 − p)),  p from p_0 to p_T in even steps,  λ_0 = −6, λ_T = 5, μ = −2, s = 1.2
//! ```
//!
//! The clipped form is that of Nichol and Dhariwal (arXiv:2102.09672) with time reversed. The shifted form
//! avoids the singular ends without clipping: at T = 10 its last weight SNR(T) − SNR(T−1) is 44 rather than
//! 964.
//!
//! The form “equal-mass” divides the noise levels that matter into T ranges of equal probability, as
//! DiffusionBlocks (arXiv:2506.14202) does; here λ has a logistic distribution with mean μ and scale s. A block
//! of it is trained on its whole range, so that it may start anywhere in it.

use core::f64::consts::FRAC_PI_2;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::SchedulePoint;

/// The form of a discrete schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiscreteForm {
    /// The shifted form, whose grid begins and ends away from ᾱ = 0 and ᾱ = 1.
    #[default]
    Shifted,
    /// The clipped form of Nichol and Dhariwal.
    Clipped,
    /// Ranges of λ of equal probability under a logistic distribution.
    EqualMass,
}

/// The offset s of the clipped form.
const OFFSET: f64 = 0.008;
/// The least and the largest ᾱ of the clipped form.
const CLIP: (f64, f64) = (1e-4, 0.999);

/// The mean μ of the logistic distribution of λ.
const MEAN: f64 = -2.0;
/// The scale s of the logistic distribution of λ.
const SCALE: f64 = 1.2;
/// The ends λ_0 and λ_T of the form “equal-mass”.
const ENDS: (f64, f64) = (-6.0, 5.0);

/// A fixed discrete schedule. It has no parameters.
#[derive(Module, Debug)]
pub struct DiscreteSchedule {
    steps: usize,
    #[module(skip)]
    form: DiscreteForm,
}

impl DiscreteSchedule {
    /// The schedule of T = `steps` steps.
    pub fn new(steps: usize, form: DiscreteForm) -> Self {
        Self { steps, form }
    }

    /// The shares of signal and noise in the variance of z_k, ᾱ_k and 1 − ᾱ_k, for k = 0 … T.
    pub fn shares(&self, k: usize) -> (f64, f64) {
        let (k, steps) = (k as f64, self.steps as f64);
        match self.form {
            DiscreteForm::Shifted => {
                let angle = FRAC_PI_2 * (k + 1.0) / (steps + 2.0);
                (squared(libm::sin(angle)), squared(libm::cos(angle)))
            }
            DiscreteForm::Clipped => {
                let raw = squared(libm::cos(clipped_angle(1.0 - k / steps))) / at_zero();
                let alpha_bar = raw.clamp(CLIP.0, CLIP.1);
                (alpha_bar, 1.0 - alpha_bar)
            }
            DiscreteForm::EqualMass => {
                let (first, last) = (mass_below(ENDS.0), mass_below(ENDS.1));
                let mass = first + k / steps * (last - first);
                let log_snr = MEAN + SCALE * libm::log(mass / (1.0 - mass));
                (sigmoid(log_snr), sigmoid(-log_snr))
            }
        }
    }

    /// Whether a block is trained on all noise levels between its two times, not only at the first of them.
    pub fn has_ranges(&self) -> bool {
        self.form == DiscreteForm::EqualMass
    }

    /// The signal-to-noise ratio SNR(k) = ᾱ_k/(1 − ᾱ_k).
    pub fn snr(&self, k: usize) -> f64 {
        let (signal, noise) = self.shares(k);
        signal / noise
    }

    /// The process at times `t` `[n, 1]`. At t = k/T it agrees with [`Self::shares`], and the formula also
    /// holds between.
    pub fn at(&self, t: Tensor<2>) -> SchedulePoint {
        let steps = self.steps as f64;
        // ᾱ, 1 − ᾱ and ᾱ′(t).
        let (alpha_bar, sigma_squared, prime) = match self.form {
            DiscreteForm::Shifted => {
                let step = FRAC_PI_2 / (steps + 2.0);
                let angle = t.clone().mul_scalar(steps * step).add_scalar(step);
                let double = angle.clone().mul_scalar(2.0).sin();
                (
                    angle.clone().sin().square(),
                    angle.cos().square(),
                    double.mul_scalar(steps * step),
                )
            }
            DiscreteForm::Clipped => {
                let slope = FRAC_PI_2 / (1.0 + OFFSET);
                let angle = t.clone().mul_scalar(-slope).add_scalar(FRAC_PI_2);
                let raw = angle.clone().cos().square().div_scalar(at_zero());
                let inside = raw.clone().greater_scalar(CLIP.0).float()
                    * raw.clone().lower_scalar(CLIP.1).float();
                let alpha_bar = raw.clamp(CLIP.0, CLIP.1);
                (
                    alpha_bar.clone(),
                    alpha_bar.neg().add_scalar(1.0),
                    angle.mul_scalar(2.0).sin().mul_scalar(slope / at_zero()) * inside,
                )
            }
            DiscreteForm::EqualMass => {
                let (first, last) = (mass_below(ENDS.0), mass_below(ENDS.1));
                let mass = t.clone().mul_scalar(last - first).add_scalar(first);
                let rest = mass.clone().neg().add_scalar(1.0);
                let log_snr = (mass.clone() / rest.clone()).log();
                let log_snr = log_snr.mul_scalar(SCALE).add_scalar(MEAN);
                let log_snr_prime = (mass * rest).recip().mul_scalar(SCALE * (last - first));
                return SchedulePoint::from_gamma(t, log_snr.neg(), log_snr_prime.neg());
            }
        };
        Self::point(t, alpha_bar, sigma_squared, prime)
    }

    /// The process at times `t` from ᾱ, 1 − ᾱ and ᾱ′, `[n, 1]` each.
    fn point(
        t: Tensor<2>,
        alpha_bar: Tensor<2>,
        sigma_squared: Tensor<2>,
        prime: Tensor<2>,
    ) -> SchedulePoint {
        SchedulePoint {
            t,
            log_snr: alpha_bar.clone().log() - sigma_squared.clone().log(),
            log_snr_prime: prime.clone() / (alpha_bar.clone() * sigma_squared.clone()),
            snr_prime: prime / sigma_squared.clone().square(),
            alpha_bar,
            sigma_squared,
        }
    }
}

/// The angle (u + s)/(1 + s) · π/2 of the clipped form, with u = 1 − t.
fn clipped_angle(u: f64) -> f64 {
    (u + OFFSET) / (1.0 + OFFSET) * FRAC_PI_2
}

/// The value f(0) of the clipped form.
fn at_zero() -> f64 {
    squared(libm::cos(clipped_angle(0.0)))
}

/// The probability of a λ below `log_snr`.
fn mass_below(log_snr: f64) -> f64 {
    sigmoid((log_snr - MEAN) / SCALE)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

fn squared(x: f64) -> f64 {
    x * x
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::even_times;
    use super::*;

    /// ᾱ_t and SNR(t) − SNR(t−1) at T = 10, computed apart from this crate.
    const CLIPPED: [(f64, f64); 11] = [
        (0.00010, 0.0),
        (0.02409, 0.0246),
        (0.09405, 0.0791),
        (0.20312, 0.1511),
        (0.34081, 0.2621),
        (0.49384, 0.4587),
        (0.64748, 0.8610),
        (0.78691, 1.8562),
        (0.89871, 5.1794),
        (0.97209, 25.961),
        (0.99900, 964.17),
    ];
    const SHIFTED: [(f64, f64); 11] = [
        (0.01704, 0.0),
        (0.06699, 0.0545),
        (0.14645, 0.0998),
        (0.25000, 0.1618),
        (0.37059, 0.2555),
        (0.50000, 0.4112),
        (0.62941, 0.6984),
        (0.75000, 1.3016),
        (0.85355, 2.8284),
        (0.93301, 8.0998),
        (0.98296, 43.767),
    ];

    #[test]
    fn both_cosine_forms_are_their_tables() {
        let tables = [
            (DiscreteForm::Clipped, CLIPPED),
            (DiscreteForm::Shifted, SHIFTED),
        ];
        for (form, table) in tables {
            let schedule = DiscreteSchedule::new(10, form);
            for (k, (alpha_bar, difference)) in table.into_iter().enumerate() {
                // Half of the last digit of the table.
                assert!(
                    (schedule.shares(k).0 - alpha_bar).abs() < 6e-6,
                    "{form:?} {k}"
                );
                if k > 0 {
                    let found = schedule.snr(k) - schedule.snr(k - 1);
                    assert!(found > 0.0);
                    let limit = 6e-5 * f64::max(1.0, difference);
                    assert!((found - difference).abs() < limit, "{form:?} {k}: {found}");
                }
            }
        }
    }

    #[test]
    fn tensors_say_what_the_host_says() {
        for form in [
            DiscreteForm::Clipped,
            DiscreteForm::Shifted,
            DiscreteForm::EqualMass,
        ] {
            let schedule = DiscreteSchedule::new(10, form);
            let point = schedule.at(even_times(10, &Device::flex()));
            let values = |x: Tensor<2>| x.into_data().try_to_vec::<f32>().unwrap();
            let (alpha_bar, sigma) = (values(point.alpha_bar), values(point.sigma_squared));
            let log_snr = values(point.log_snr);
            for k in 0..=10 {
                let (signal, noise) = schedule.shares(k);
                // f32 sines of numbers of order 1; 1 − ᾱ of the clipped form loses up to 10³ of them.
                assert!(
                    (f64::from(alpha_bar[k]) / signal - 1.0).abs() < 1e-4,
                    "{form:?} {k}"
                );
                assert!(
                    (f64::from(sigma[k]) / noise - 1.0).abs() < 2e-4,
                    "{form:?} {k}"
                );
                assert!((f64::from(log_snr[k]) - (signal / noise).ln()).abs() < 3e-4);
            }
        }
    }

    /// The quartiles of a logistic distribution are at μ ± s ln 3; the ends cut off little of it.
    #[test]
    fn ranges_of_equal_mass_end_at_quantiles() {
        let schedule = DiscreteSchedule::new(4, DiscreteForm::EqualMass);
        let log_snr: Vec<f64> = (0..=4).map(|k| schedule.snr(k).ln()).collect();
        assert!((log_snr[0] + 6.0).abs() < 1e-9 && (log_snr[4] - 5.0).abs() < 1e-9);
        let quartile = 1.2 * 3_f64.ln();
        for (found, expected) in log_snr[1..4]
            .iter()
            .zip([-2.0 - quartile, -2.0, -2.0 + quartile])
        {
            // 3.4 % of the mass lies below −6 and 0.3 % above 5, which moves the quantiles a little.
            assert!((found - expected).abs() < 0.15, "{found} {expected}");
        }
    }

    proptest::proptest! {
        /// ᾱ increases, so that all weights are positive, and the weights add up to SNR(T) − SNR(0).
        #[test]
        fn weights_are_positive_and_telescope(steps in 2_usize..300, clipped: bool) {
            let form = if clipped { DiscreteForm::Clipped } else { DiscreteForm::Shifted };
            let schedule = DiscreteSchedule::new(steps, form);
            let weights: Vec<f64> =
                (1..=steps).map(|k| schedule.snr(k) - schedule.snr(k - 1)).collect();
            // Near both ends of a fine grid the clipped form stands still.
            let inside = |w: &f64| if clipped { *w >= 0.0 } else { *w > 0.0 };
            proptest::prop_assert!(weights.iter().all(inside));
            let whole = schedule.snr(steps) - schedule.snr(0);
            // At most 300 roundings of f64.
            proptest::prop_assert!((weights.iter().sum::<f64>() / whole - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn snr_prime_is_the_derivative() {
        for form in [
            DiscreteForm::Clipped,
            DiscreteForm::Shifted,
            DiscreteForm::EqualMass,
        ] {
            let schedule = DiscreteSchedule::new(10, form);
            let at = |t: f64| {
                let point = schedule.at(Tensor::full([1, 1], t, &Device::flex()));
                let scalar = |x: Tensor<2>| f64::from(x.into_scalar::<f32>());
                (scalar(point.log_snr).exp(), scalar(point.snr_prime))
            };
            for t in [0.15, 0.5, 0.85] {
                let h = 5e-3;
                let difference = (at(t + h).0 - at(t - h).0) / (2.0 * h);
                // A central difference over 1e-2 errs by h²/6 SNR‴: below 1 % here.
                let (_, prime) = at(t);
                assert!(
                    (prime / difference - 1.0).abs() < 1e-2,
                    "{form:?} {t}: {prime} {difference}"
                );
            }
        }
    }
}
