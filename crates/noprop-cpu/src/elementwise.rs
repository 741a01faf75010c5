//! Elementwise operations in one parallel pass: the AdamW step and the weighted sum of two tensors.

use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use rayon::prelude::*;

use crate::tensor::{CpuTensor, values, values_mut};

/// The number of values that one parallel task updates: large enough to outweigh the cost of starting the task.
const CHUNK: usize = 1 << 15;

/// AdamW (Loshchilov & Hutter, arXiv:1711.05101) with the results of burn's [`AdamW`] to the bit. It applies the
/// same operations to every value in the same order, but in one pass over the parameter, its gradient and its
/// moments. Its state is that of burn's optimiser. On devices other than the CPU it runs burn's optimiser.
#[derive(Clone)]
pub struct FusedAdamW {
    /// Burn's optimiser, for the first step and for devices other than the CPU.
    plain: AdamW,
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
    weight_decay: f32,
}

impl FusedAdamW {
    /// AdamW with β₁ = 0.9, β₂ = 0.999, `epsilon` added to the root of the second moment, and decoupled
    /// `weight_decay`.
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
            // The first step of burn's optimiser makes the moments.
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
        // The new values overwrite the gradient, which is not needed any more; the caller may still hold
        // the old values of the parameter.
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

/// Whether [`weighted_sum_of_two`] can add `tensors`.
pub(crate) fn can_sum<const D: usize>(tensors: &[Tensor<D>; 2]) -> bool {
    let plain = |tensor| CpuTensor::holds(tensor) && !tensor.device().is_autodiff();
    tensors.iter().all(plain) && tensors[0].dims() == tensors[1].dims()
}

/// The sum v·a + w·b of `tensors` [a, b] with `weights` [v, w]. It overwrites a if nothing else holds it.
pub(crate) fn weighted_sum_of_two<const D: usize>(
    tensors: [Tensor<D>; 2],
    weights: [f64; 2],
) -> Tensor<D> {
    let [v, w] = weights.map(|weight| weight as f32);
    let [mut a, b] = tensors.map(|t| CpuTensor::of(t).into_values().to_contiguous());
    values_mut(&mut a)
        .par_chunks_mut(CHUNK)
        .zip(values(&b).par_chunks(CHUNK))
        .for_each(|(a, b)| {
            for (a, b) in a.iter_mut().zip(b) {
                *a = *a * v + b * w;
            }
        });
    CpuTensor::Plain(a).into_tensor()
}
