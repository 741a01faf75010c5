//! Muon (Jordan et al. 2024): momentum whose direction is made orthogonal, for the kernels of convolutions; AdamW for
//! all other parameters.
//!
//! A kernel `[out, in, h, w]` is taken as a matrix `[out, in · h · w]`. Burn's own `Muon` takes the last two
//! dimensions of a tensor as matrices, which of a kernel are its `h`×`w` windows.

use burn::optim::momentum::{Momentum, MomentumConfig, MomentumState};
use burn::optim::{
    AdamWState, LearningRate, Optimizer, RecordState, StateSink, StateSource, join_path,
};
use burn::tensor::{Device, Tensor};

/// The coefficients a, b, c of the iteration X ← a·X + (b·A + c·A²)·X with A = X·Xᵀ. They make small singular values
/// grow fast; the large ones stay between 0.7 and 1.2.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.775, 2.0315];
/// The number of iterations.
const ITERATIONS: usize = 5;
const LEAST_NORM: f64 = 1e-7;

/// The number that AdamW and Adam add to the root of the second moment.
pub(crate) const EPSILON: f32 = 1e-8;

#[cfg(target_family = "wasm")]
use burn::optim::AdamW;
#[cfg(not(target_family = "wasm"))]
use noprop_cpu::FusedAdamW as AdamW;

/// AdamW with the weight decay `decay`.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn adamw(decay: f32) -> AdamW {
    AdamW::new(EPSILON, decay)
}

/// AdamW with the weight decay `decay`.
#[cfg(target_family = "wasm")]
pub(crate) fn adamw(decay: f32) -> AdamW {
    burn::optim::AdamWConfig::new()
        .with_epsilon(EPSILON)
        .with_weight_decay(decay)
        .build()
}

/// Muon for parameters of four dimensions and AdamW for the rest.
#[derive(Clone)]
pub(crate) struct Muon {
    momentum: Momentum,
    /// The learning rate of Muon as a multiple of that of the other optimiser.
    lr_ratio: f64,
    other: AdamW,
}

impl Muon {
    /// Muon with Nesterov's momentum `momentum` and `lr_ratio` times the learning rate that a step is given, which is
    /// that of the optimiser `other`.
    pub fn new(momentum: f64, lr_ratio: f64, other: AdamW) -> Self {
        let config = MomentumConfig::new()
            .with_momentum(momentum)
            .with_dampening(0.0)
            .with_nesterov(true);
        Self {
            momentum: Momentum::new(&config),
            lr_ratio,
            other,
        }
    }
}

/// The state of one parameter.
#[derive(Clone)]
#[allow(clippy::large_enum_variant)] // One value per parameter; boxing would only obscure it.
pub(crate) enum MuonState<const D: usize> {
    /// The momentum of a kernel.
    Kernel(MomentumState<D>),
    /// The moments of another parameter.
    Other(AdamWState<D>),
}

const KERNEL: &str = "muon";
const OTHER: &str = "adamw";

impl<const D: usize> RecordState for MuonState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        match self {
            Self::Kernel(state) => state.state_flatten(&join_path(prefix, KERNEL), out),
            Self::Other(state) => state.state_flatten(&join_path(prefix, OTHER), out),
        }
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let kernel = join_path(prefix, KERNEL);
        if source.has_under(&kernel) {
            return MomentumState::state_unflatten(&kernel, source, device).map(Self::Kernel);
        }
        let other = join_path(prefix, OTHER);
        AdamWState::state_unflatten(&other, source, device).map(Self::Other)
    }
}

impl Optimizer for Muon {
    type State<const D: usize> = MuonState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        if D != 4 {
            let state = match state {
                Some(MuonState::Other(state)) => Some(state),
                _ => None,
            };
            let (tensor, state) = self.other.step(lr, tensor, gradient, state);
            return (tensor, state.map(MuonState::Other));
        }
        let state = match state {
            Some(MuonState::Kernel(state)) => Some(state),
            _ => None,
        };
        let (direction, state) = self.momentum.transform(gradient, state);
        let shape = tensor.dims();
        let rows = shape[0];
        let matrix = |tensor: Tensor<D>| tensor.reshape([rows as i32, -1]);
        let weight = matrix(tensor);
        let norm = weight.clone().square().sum().sqrt().reshape([1, 1]);
        let weight = weight * (norm.add_scalar(LEAST_NORM).recip() * (rows as f64).sqrt());
        let update = orthogonalised(matrix(direction));
        let moved = weight - update.mul_scalar(lr * self.lr_ratio);
        (moved.reshape(shape), Some(MuonState::Kernel(state)))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        match state {
            MuonState::Kernel(state) => MuonState::Kernel(state.to_device(device)),
            MuonState::Other(state) => MuonState::Other(AdamW::to_device(state, device)),
        }
    }
}

/// A matrix near the orthogonal one that is nearest to `matrix` `[rows, columns]`, by the iteration of Newton and
/// Schulz: its singular vectors are those of `matrix`, and its singular values lie around 1.
fn orthogonalised(matrix: Tensor<2>) -> Tensor<2> {
    let [rows, columns] = matrix.dims();
    if rows > columns {
        return orthogonalised(matrix.transpose()).transpose();
    }
    let norm = matrix.clone().square().sum().sqrt().reshape([1, 1]);
    let mut x = matrix * norm.add_scalar(LEAST_NORM).recip();
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..ITERATIONS {
        let square = x.clone().matmul(x.clone().transpose());
        let factor = square.clone().mul_scalar(b) + square.clone().matmul(square).mul_scalar(c);
        x = x.clone().mul_scalar(a) + factor.matmul(x);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: [usize; 2], seed: u32) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24) - 0.5
        };
        (0..shape[0] * shape[1]).map(|_| next()).collect()
    }

    fn tensor<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
        let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        let data = burn::tensor::TensorData::new(values, shape);
        Tensor::from_data(data, &Device::flex())
    }

    /// The largest and the smallest singular value of `m` `[rows, columns]`, rows ≤ columns, by power iterations with
    /// m·mᵀ and with (t − m·mᵀ) in f64.
    fn singular_values(m: &[f64], rows: usize, columns: usize) -> [f64; 2] {
        let gram = |v: &[f64]| -> Vec<f64> {
            let of_column = |j: usize| (0..rows).map(|i| m[i * columns + j] * v[i]).sum::<f64>();
            let back: Vec<f64> = (0..columns).map(of_column).collect();
            (0..rows)
                .map(|i| (0..columns).map(|j| m[i * columns + j] * back[j]).sum())
                .collect()
        };
        let power = |map: &dyn Fn(&[f64]) -> Vec<f64>| -> f64 {
            let mut v: Vec<f64> = (0..rows).map(|i| 1.0 + (i as f64 * 1.7).sin()).collect();
            for _ in 0..5000 {
                let size = v.iter().map(|x| x * x).sum::<f64>().sqrt();
                v.iter_mut().for_each(|x| *x /= size);
                v = map(&v);
            }
            v.iter().map(|x| x * x).sum::<f64>().sqrt()
        };
        let largest = power(&gram);
        let shifted = |v: &[f64]| -> Vec<f64> {
            let image = gram(v);
            v.iter().zip(image).map(|(x, y)| 2.0 * x - y).collect()
        };
        [largest.sqrt(), (2.0 - power(&shifted)).max(0.0).sqrt()]
    }

    fn orthogonalised_in_f64(matrix: &[f64], [rows, columns]: [usize; 2]) -> Vec<f64> {
        let norm = matrix.iter().map(|v| v * v).sum::<f64>().sqrt();
        let mut x: Vec<f64> = matrix.iter().map(|v| v / norm).collect();
        for _ in 0..5 {
            let dot = |i: usize, j: usize| -> f64 {
                (0..columns)
                    .map(|k| x[i * columns + k] * x[j * columns + k])
                    .sum()
            };
            let a: Vec<f64> = (0..rows * rows).map(|k| dot(k / rows, k % rows)).collect();
            let square = |i: usize, j: usize| -> f64 {
                (0..rows).map(|k| a[i * rows + k] * a[k * rows + j]).sum()
            };
            let b = |i: usize, j: usize| -4.775 * a[i * rows + j] + 2.0315 * square(i, j);
            let product = |k: usize| -> f64 {
                let (i, j) = (k / columns, k % columns);
                3.4445 * x[k] + (0..rows).map(|l| b(i, l) * x[l * columns + j]).sum::<f64>()
            };
            x = (0..rows * columns).map(product).collect();
        }
        x
    }

    #[test]
    fn the_result_has_singular_values_near_one() {
        let [rows, columns] = [12, 40];
        let values = random([rows, columns], 1);
        for transposed in [false, true] {
            let matrix = tensor(&values, [rows, columns]);
            let result = match transposed {
                false => orthogonalised(matrix),
                true => orthogonalised(matrix.transpose()).transpose(),
            };
            let result: Vec<f64> = result.into_data().iter::<f64>().collect();
            let [largest, smallest] = singular_values(&result, rows, columns);
            assert!(largest < 1.21 && smallest > 0.68, "{smallest} to {largest}");
        }
    }

    #[test]
    fn a_kernel_moves_as_its_flattened_matrix() {
        let shape = [8, 36];
        let (weight, gradients) = (random(shape, 1), [random(shape, 2), random(shape, 3)]);
        let muon = Muon::new(0.6, 80.0, adamw(0.1));
        let kernel = |values: &[f64]| tensor(values, [8, 4, 3, 3]);
        let (mut moved, mut state) = (kernel(&weight), None);
        let (mut wanted, mut velocity) = (weight, vec![0.0; 288]);
        for gradient in &gradients {
            (moved, state) = muon.step(3e-3, moved, kernel(gradient), state);
            let norm = wanted.iter().map(|v| v * v).sum::<f64>().sqrt();
            for (v, g) in velocity.iter_mut().zip(gradient) {
                *v = 0.6 * *v + g;
            }
            let direction: Vec<f64> = velocity
                .iter()
                .zip(gradient)
                .map(|(v, g)| 0.6 * v + g)
                .collect();
            let update = orthogonalised_in_f64(&direction, shape);
            for (w, u) in wanted.iter_mut().zip(update) {
                *w = *w * 8_f64.sqrt() / norm - 0.24 * u;
            }
        }
        for (found, wanted) in moved.into_data().iter::<f64>().zip(wanted) {
            assert!((found - wanted).abs() < 1e-4, "{found} against {wanted}");
        }
    }

    #[test]
    fn other_parameters_move_as_by_adamw() {
        let (weight, gradient) = (random([3, 5], 1), random([3, 5], 2));
        let muon = Muon::new(0.6, 80.0, adamw(0.1));
        let adamw = adamw(0.1);
        let both = || (tensor(&weight, [3, 5]), tensor(&gradient, [3, 5]));
        let (a, g) = both();
        let (a, state) = muon.step(3e-3, a, g.clone(), None);
        let (a, _) = muon.step(3e-3, a, g, state);
        let (b, g) = both();
        let (b, state) = adamw.step(3e-3, b, g.clone(), None);
        let (b, _) = adamw.step(3e-3, b, g, state);
        assert_eq!(a.into_data(), b.into_data());
    }
}
