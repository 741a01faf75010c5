//! A weighted sum in one pass.

use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::cpu_tensor::{CpuTensor, values, values_mut};

/// Values that one task adds.
const CHUNK: usize = 1 << 15;

/// Whether [`of_two`] can add these.
pub(crate) fn supports<const D: usize>(tensors: &[Tensor<D>; 2]) -> bool {
    let plain = |tensor| CpuTensor::holds(tensor) && !tensor.device().is_autodiff();
    tensors.iter().all(plain) && tensors[0].dims() == tensors[1].dims()
}

/// v·a + w·b, into the memory of a where nothing else uses it.
pub(crate) fn of_two<const D: usize>(tensors: [Tensor<D>; 2], weights: [f64; 2]) -> Tensor<D> {
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
