//! Faster operations for burn's CPU backend: convolution, BatchNorm with the shortcut and ReLU that follow it in
//! a ResNet or with GELU, max-pooling, the AdamW step and weighted sums.
//!
//! Each function takes a layer or tensors of burn and gives what burn's own operation gives, up to the rounding
//! of sums in another order; [`FusedAdamW`] gives the same bits. Each is one node of the autodiff graph with a
//! backward pass of its own. On other devices, and for settings that this crate does not support (dilation,
//! channel groups, gradient checkpointing), burn's own operation runs, so callers need not ask where a tensor
//! lives. Nothing here knows NoProp.
//!
//! ```
//! use burn::nn::PaddingConfig2d;
//! use burn::nn::conv::Conv2dConfig;
//! use burn::tensor::{Device, Distribution, Tensor};
//!
//! let device = Device::flex();
//! let layer = Conv2dConfig::new([3, 8], [3, 3])
//!     .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
//!     .init(&device);
//! let images = Tensor::<4>::random([2, 3, 16, 16], Distribution::Default, &device);
//!
//! let fast = noprop_cpu::conv2d(&layer, images.clone());
//! assert_eq!(fast.dims(), [2, 8, 16, 16]);
//! let difference = (fast - layer.forward(images)).abs().max().into_scalar::<f32>();
//! assert!(difference < 1e-5);
//! ```
#![warn(missing_docs)]

#[cfg(not(target_family = "wasm"))]
mod conv;
#[cfg(not(target_family = "wasm"))]
mod elementwise;
#[cfg(not(target_family = "wasm"))]
mod gelu;
#[cfg(not(target_family = "wasm"))]
mod norm;
#[cfg(not(target_family = "wasm"))]
mod pool;
#[cfg(not(target_family = "wasm"))]
mod tensor;

#[cfg(not(target_family = "wasm"))]
pub use elementwise::FusedAdamW;

use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::nn::pool::MaxPool2dConfig;
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};

/// Applies the convolution `layer` to images `[b, c_in, h, w]`, which gives `[b, c_out, oh, ow]`.
pub fn conv2d(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    #[cfg(not(target_family = "wasm"))]
    if let Some(convolution) = conv::supported(layer, &x) {
        let y = conv::forward(convolution, layer, x);
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

/// Computes gelu(`layer`(x)) for a convolution `layer` with a bias and images `x` `[b, c_in, h, w]`, which gives
/// `[b, c_out, oh, ow]`. The GELU is that of [`gelu`].
pub fn conv2d_gelu(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    #[cfg(not(target_family = "wasm"))]
    if let (Some(bias), Some(convolution)) = (&layer.bias, conv::supported(layer, &x)) {
        return gelu::bias_gelu(conv::forward(convolution, layer, x), bias.val());
    }
    gelu(conv2d(layer, x))
}

/// Computes gelu(`layer`(x)) for a BatchNorm `layer`; `x` and the result are `[b, c, h, w]`. The GELU is that of
/// [`gelu`]. On an autodiff device the layer's running statistics move, as in burn's BatchNorm.
pub fn norm_gelu(layer: &BatchNorm, x: Tensor<4>) -> Tensor<4> {
    #[cfg(not(target_family = "wasm"))]
    if norm::supports(layer, &x) {
        return gelu::norm_gelu(layer, x);
    }
    gelu(layer.forward(x))
}

/// The GELU (Hendrycks & Gimpel, arXiv:1606.08415) in the form that PyTorch calls `approximate="tanh"`, written
/// with a sigmoid: x · sigmoid(1.5957691 · (x + 0.044715 · x³)).
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let cubic = x.clone() * x.clone() * x.clone();
    let argument = (x.clone() + cubic.mul_scalar(0.044_715)).mul_scalar(1.595_769_1);
    x * sigmoid(argument)
}

/// The largest values of images `x` `[b, c, h, w]` in windows of `window` pixels (height, width) that do not
/// overlap, which gives `[b, c, h / window, w / window]`. Rows and columns that fill no window are left out.
pub fn max_pool(x: Tensor<4>, window: [usize; 2]) -> Tensor<4> {
    #[cfg(not(target_family = "wasm"))]
    if pool::supports(&x, window) {
        return pool::forward(x, window);
    }
    let pool = MaxPool2dConfig::new(window).with_strides(window);
    pool.init().forward(x)
}

/// Computes relu(`layer`(x) + `shortcut`) for a BatchNorm `layer`; `x`, `shortcut` and the result are
/// `[b, c, h, w]`. On an autodiff device the layer's running statistics move, as in burn's BatchNorm.
pub fn norm_relu(layer: &BatchNorm, x: Tensor<4>, shortcut: Option<Tensor<4>>) -> Tensor<4> {
    #[cfg(not(target_family = "wasm"))]
    if norm::supports(layer, &x) {
        return norm::forward(layer, x, shortcut, true);
    }
    let x = layer.forward(x);
    relu(match shortcut {
        Some(shortcut) => x + shortcut,
        None => x,
    })
}

/// Applies the BatchNorm `layer` to `x` without a ReLU, as the shortcut of a residual block needs it; `x` and the
/// result are `[b, c, h, w]`.
pub fn norm(layer: &BatchNorm, x: Tensor<4>) -> Tensor<4> {
    #[cfg(not(target_family = "wasm"))]
    if norm::supports(layer, &x) {
        return norm::forward(layer, x, None, false);
    }
    layer.forward(x)
}

/// The sum of weight · tensor over `parts`, added in their order; `None` if there are no parts. All tensors have
/// the same shape.
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

/// The sum of weight · tensor of two tensors.
fn sum_of_two<const D: usize>(tensors: [Tensor<D>; 2], weights: [f64; 2]) -> Tensor<D> {
    #[cfg(not(target_family = "wasm"))]
    if elementwise::can_sum(&tensors) {
        return elementwise::weighted_sum_of_two(tensors, weights);
    }
    let [(a, v), (b, w)] = [0, 1].map(|i| (tensors[i].clone(), weights[i]));
    a.mul_scalar(v) + b.mul_scalar(w)
}

#[cfg(all(test, not(target_family = "wasm")))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod fused_tests;
