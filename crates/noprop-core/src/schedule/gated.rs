//! The walk of the paper's baseline that is trained by back-propagation (§4):
//! z_t = (1 − α_t) z_{t−1} + α_t û_{θ_t}(z_{t−1}, x), α_t = tanh(w_t) learned.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::SchedulePoint;

/// Shares of signal and noise are kept so far from their ends where their logarithm is asked for.
const EDGE: f64 = 1e-6;

/// w_1 … w_T.
#[derive(Module, Debug)]
pub struct GatedSchedule {
    /// `[T]`.
    pub w: Param<Tensor<1>>,
}

impl GatedSchedule {
    /// At first α_t = 1/(t + 1), so that z_T is the mean of z_0 and every û; the paper does not say.
    pub(super) fn new(steps: usize, device: &Device) -> Self {
        let w = |t: usize| libm::atanh(1.0 / (t + 1) as f64) as f32;
        let w: Vec<f32> = (1..=steps).map(w).collect();
        Self {
            w: Param::from_tensor(Tensor::from_data(TensorData::new(w, [steps]), device)),
        }
    }

    /// α_k of step k from 0, `[1, 1]`.
    pub fn alpha(&self, k: usize) -> Tensor<2> {
        self.w.val().narrow(0, k, 1).tanh().unsqueeze()
    }

    /// Where û stayed the same, z_k would be c_k z_0 + (1 − c_k) û with c_k = (1 − α_1) … (1 − α_k): those
    /// shares as of a process of unit variance, between the steps on a line. For pictures; no loss uses it.
    pub(super) fn at(&self, t: Tensor<2>) -> SchedulePoint {
        let steps = self.w.dims()[0];
        let mut left = vec![Tensor::<2>::ones([1, 1], &t.device())];
        for k in 0..steps {
            let rest = self.alpha(k).neg().add_scalar(1.0);
            left.push(left[k].clone() * rest);
        }
        let left = Tensor::cat(left, 0);
        let place = t.mul_scalar(steps as f64);
        let below = place.clone().floor().clamp(0.0, (steps - 1) as f64);
        let part = place - below.clone();
        let index = below.int().flatten::<1>(0, 1);
        let from = left.clone().select(0, index.clone());
        let to = left.select(0, index.add_scalar(1));
        let slope = to - from.clone();
        let noise = (from + slope.clone() * part).clamp(EDGE, 1.0 - EDGE);
        let signal = noise.clone().neg().add_scalar(1.0);
        let log_snr = (signal.clone().log() - noise.clone().log()).mul_scalar(2.0);
        // γ′ = −λ′ = 2 c′/(c (1 − c)).
        let gamma_prime = slope.mul_scalar(2.0 * steps as f64) / (noise * signal);
        SchedulePoint::from_gamma(log_snr.neg(), gamma_prime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_is_one_of_equal_shares() {
        let device = Device::flex();
        let schedule = GatedSchedule::new(3, &device);
        let t = Tensor::<2>::from_data([[1.0_f32 / 3.0], [2.0 / 3.0], [1.0]], &device);
        let found = schedule.at(t).log_snr.into_data();
        let found = found.try_to_vec::<f32>().unwrap();
        for (k, log_snr) in found.into_iter().enumerate() {
            let left = 1.0 / (k as f64 + 2.0);
            let expected = 2.0 * ((1.0 - left) / left).ln();
            // f32 logarithms of numbers of order 1.
            assert!(
                (f64::from(log_snr) - expected).abs() < 1e-4,
                "{log_snr} {expected}"
            );
        }
    }
}
