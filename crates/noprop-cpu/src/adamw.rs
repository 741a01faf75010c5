//! AdamW in one pass over a parameter, its gradient and its moments.

use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use rayon::prelude::*;

use crate::cpu_tensor::{CpuTensor, values, values_mut};

/// Values that one task updates: large enough to outweigh its start.
const CHUNK: usize = 1 << 15;

/// Burn's AdamW (Loshchilov & Hutter, arXiv:1711.05101), to the bit: the same operations on every
/// value in the same order, but all of them in one pass. Its state is burn's.
#[derive(Clone)]
pub struct FusedAdamW {
    /// Serves the other devices.
    plain: AdamW,
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
    weight_decay: f32,
}

impl FusedAdamW {
    /// AdamW with β = (0.9, 0.999).
    pub fn new(epsilon: f32, weight_decay: f32) -> Self {
        let (beta_1, beta_2) = (0.9, 0.999);
        Self {
            plain: AdamWConfig::new()
                .with_beta_1(beta_1)
                .with_beta_2(beta_2)
                .with_epsilon(epsilon)
                .with_weight_decay(weight_decay)
                .build(),
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
        }
    }
}

impl Optimizer for FusedAdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        if !CpuTensor::holds(&tensor) || tensor.device().is_autodiff() {
            return self.plain.step(lr, tensor, gradient, state);
        }
        let Some(AdamWState { momentum }) = state else {
            // The first step fixes the layout of the moments.
            return self.plain.step(lr, tensor, gradient, None);
        };
        let time = momentum.time + 1;
        let flat = |tensor| CpuTensor::of::<D>(tensor).into_values().to_contiguous();
        let [p, mut g] = [tensor, gradient].map(flat);
        let [mut m, mut v] = [momentum.moment_1, momentum.moment_2].map(flat);

        let (factor_1, factor_2) = (1.0 - self.beta_1, 1.0 - self.beta_2);
        let correction_1 = 1.0 - self.beta_1.powi(time as i32);
        let correction_2 = 1.0 - self.beta_2.powi(time as i32);
        let keep = (1.0 - lr * f64::from(self.weight_decay)) as f32;
        let lr = lr as f32;
        // The new values go where the gradient was: nobody needs it any more, while the caller may
        // still hold the old values.
        values_mut(&mut g)
            .par_chunks_mut(CHUNK)
            .zip(values(&p).par_chunks(CHUNK))
            .zip(values_mut(&mut m).par_chunks_mut(CHUNK))
            .zip(values_mut(&mut v).par_chunks_mut(CHUNK))
            .for_each(|(((g, p), m), v)| {
                for (((g, p), m), v) in g.iter_mut().zip(p).zip(m).zip(v) {
                    *m = *m * self.beta_1 + *g * factor_1;
                    *v = *v * self.beta_2 + *g * *g * factor_2;
                    let delta = *m / correction_1 / ((*v / correction_2).sqrt() + self.epsilon);
                    *g = p * keep - delta * lr;
                }
            });

        let [p, m, v] = [g, m, v].map(|flat| CpuTensor::Plain(flat).into_tensor());
        let momentum = AdaptiveMomentumState::new(time, m, v);
        (p, Some(AdamWState::new(momentum)))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        AdamW::to_device(state, device)
    }
}
