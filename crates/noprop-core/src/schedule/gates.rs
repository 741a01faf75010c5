//! The gates of the baseline that is trained by back-propagation (paper §4).

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

/// The learned gates α_t = tanh(w_t) of z_t = (1 − α_t) z_{t−1} + α_t û_{θ_t}(z_{t−1}, x), for t = 1 … T.
#[derive(Module, Debug)]
pub struct Gates {
    /// The parameters w_1 … w_T, `[T]`.
    pub w: Param<Tensor<1>>,
}

impl Gates {
    /// Gates with the initial values α_t = 1/(t + 1), so that z_T is the mean of z_0 and all û. The paper
    /// gives none.
    pub(crate) fn new(steps: usize, device: &Device) -> Self {
        let w = |t: usize| libm::atanh(1.0 / (t + 1) as f64) as f32;
        let w: Vec<f32> = (1..=steps).map(w).collect();
        Self {
            w: Param::from_tensor(Tensor::from_data(TensorData::new(w, [steps]), device)),
        }
    }

    /// The latents `[b, d]` after step `k` (from 0), from `z` and `u_hat` `[b, d]`.
    pub fn blend(&self, k: usize, z: Tensor<2>, u_hat: Tensor<2>) -> Tensor<2> {
        let alpha = self.w.val().narrow(0, k, 1).tanh().unsqueeze::<2>();
        z.clone() + alpha * (u_hat - z)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_first_the_end_is_the_mean_of_the_start_and_every_estimate() {
        let device = Device::flex();
        let gates = Gates::new(3, &device);
        let value = |x: f32| Tensor::<2>::from_data([[x]], &device);
        let mut z = value(1.0);
        for (k, u_hat) in [5.0, -2.0, 8.0].into_iter().enumerate() {
            z = gates.blend(k, z, value(u_hat));
        }
        // f32 roundings of three blends of numbers below 10.
        assert!((z.into_scalar::<f32>() - 3.0).abs() < 1e-5);
    }
}
