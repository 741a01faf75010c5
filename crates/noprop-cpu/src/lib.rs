//! What a ResNet spends its time on, for burn's CPU backend: convolution, BatchNorm with what
//! follows it, and AdamW.
//!
//! Each is one operation with a backward pass of its own, and equals burn's (`tests/tests/cpu.rs`).
//! On other devices, and for what is not supported here, burn's own operation runs. Nothing here
//! knows NoProp: it could live in burn's `burn-flex`.
#![warn(missing_docs)]

#[cfg(not(target_family = "wasm"))]
mod adamw;
#[cfg(not(target_family = "wasm"))]
mod conv;
#[cfg(not(target_family = "wasm"))]
mod conv_op;
#[cfg(not(target_family = "wasm"))]
mod cpu_tensor;
#[cfg(not(target_family = "wasm"))]
mod norm;
#[cfg(not(target_family = "wasm"))]
mod norm_op;
#[cfg(not(target_family = "wasm"))]
mod planes;
#[cfg(not(target_family = "wasm"))]
mod sum;

#[cfg(not(target_family = "wasm"))]
pub use adamw::FusedAdamW;

use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

/// `layer` on images: `[b, c_in, h, w]` → `[b, c_out, oh, ow]`.
pub fn conv2d(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    #[cfg(not(target_family = "wasm"))]
    if let Some(plan) = conv_op::plan(layer, &x) {
        let y = conv_op::forward(plan, layer, x);
        return match &layer.bias {
            Some(bias) => {
                let channels = bias.dims()[0];
                y + bias.val().reshape([1, channels, 1, 1])
            }
            None => y,
        };
    }
    layer.forward(x)
}

/// relu(`layer`(x) + `shortcut`): `[b, c, h, w]` → the same. On the autodiff device the running
/// statistics move, as burn's do.
pub fn norm_relu(layer: &BatchNorm, x: Tensor<4>, shortcut: Option<Tensor<4>>) -> Tensor<4> {
    #[cfg(not(target_family = "wasm"))]
    if norm_op::supports(layer, &x) {
        return norm_op::forward(layer, x, shortcut, true);
    }
    let x = layer.forward(x);
    relu(match shortcut {
        Some(shortcut) => x + shortcut,
        None => x,
    })
}

/// `layer` on images, `[b, c, h, w]` → the same; for the shortcut of a block, which has no ReLU.
pub fn norm(layer: &BatchNorm, x: Tensor<4>) -> Tensor<4> {
    #[cfg(not(target_family = "wasm"))]
    if norm_op::supports(layer, &x) {
        return norm_op::forward(layer, x, None, false);
    }
    layer.forward(x)
}

/// Σ weight · tensor, in this order, or nothing for no tensors.
pub fn weighted_sum<const D: usize>(
    parts: impl Iterator<Item = (Tensor<D>, f64)>,
) -> Option<Tensor<D>> {
    let mut parts = parts;
    let (first, weight) = parts.next()?;
    let Some((second, second_weight)) = parts.next() else {
        return Some(first.mul_scalar(weight));
    };
    let sum = sum_of_two([first, second], [weight, second_weight]);
    Some(parts.fold(sum, |sum, (tensor, weight)| sum + tensor.mul_scalar(weight)))
}

fn sum_of_two<const D: usize>(tensors: [Tensor<D>; 2], weights: [f64; 2]) -> Tensor<D> {
    #[cfg(not(target_family = "wasm"))]
    if sum::supports(&tensors) {
        return sum::of_two(tensors, weights);
    }
    let [(a, v), (b, w)] = [0, 1].map(|i| (tensors[i].clone(), weights[i]));
    a.mul_scalar(v) + b.mul_scalar(w)
}
