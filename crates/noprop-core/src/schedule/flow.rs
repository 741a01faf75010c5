//! The straight path of flow matching (paper eq. 10): z_t = t u + (1 − t) z_0 + σ ε.

use burn::module::Module;
use burn::tensor::Tensor;

use super::SchedulePoint;

/// The least distance of t from 0 and 1 in log t and log(1 − t).
const EDGE: f64 = 1e-4;

/// The straight path of flow matching. It has no parameters. For σ = 0, SNR(t) = t²/(1−t)².
#[derive(Module, Debug)]
pub struct FlowPath {
    /// The standard deviation σ around the path. The paper does not give it; 0 is conditional optimal transport.
    pub sigma: f64,
}

impl FlowPath {
    /// The latents z_t `[n, d]` at times `t` `[n, 1]` on the path from `z_0` to `u`, both `[n, d]`, plus σ
    /// times the standard normal `noise` `[n, d]`.
    pub fn interpolate(
        &self,
        u: Tensor<2>,
        z_0: Tensor<2>,
        noise: Tensor<2>,
        t: Tensor<2>,
    ) -> Tensor<2> {
        z_0.clone() + t * (u - z_0) + noise.mul_scalar(self.sigma)
    }

    /// The shares of signal and noise at times `time` `[n, 1]`, as if the path were scaled to unit variance.
    pub fn at(&self, time: Tensor<2>) -> SchedulePoint {
        let t = time.clone().clamp(EDGE, 1.0 - EDGE);
        let rest = t.clone().neg().add_scalar(1.0);
        let log_snr = (t.clone().log() - rest.clone().log()).mul_scalar(2.0);
        // γ′ = −λ′ = −2/(t(1 − t)).
        let gamma_prime = (t * rest).recip().mul_scalar(-2.0);
        SchedulePoint::from_gamma(time, log_snr.neg(), gamma_prime)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_path_leads_from_noise_to_the_label_and_its_snr_is_that_of_its_shares() {
        let device = Device::flex();
        let column =
            |values: [f32; 3]| Tensor::<1>::from_data(values, &device).unsqueeze_dim::<2>(1);
        let path = FlowPath { sigma: 0.0 };
        let (u, z_0) = (column([2.0; 3]), column([-1.0; 3]));
        let t = column([0.0, 0.25, 1.0]);
        let z = path.interpolate(u, z_0, column([9.0; 3]), t.clone());
        assert_eq!(
            z.into_data().try_to_vec::<f32>().unwrap(),
            [-1.0, -0.25, 2.0]
        );

        let point = path.at(t);
        let snr = point.log_snr.exp().into_data().try_to_vec::<f32>().unwrap();
        // t²/(1−t)² = 1/9; f32 logarithms of numbers of order 1.
        assert!((snr[1] - 1.0 / 9.0).abs() < 1e-6, "{}", snr[1]);
        // SNR′ = 2t/(1−t)³ = 0.5/0.421875.
        let prime = point.snr_prime.into_data().try_to_vec::<f32>().unwrap();
        assert!((prime[1] - 0.5 / 0.421_875).abs() < 1e-5, "{}", prime[1]);
        assert!(snr.iter().chain(&prime).all(|x| x.is_finite()));
    }
}
