//! BatchNorm, the addition of a shortcut and ReLU in one pass, as a single operation of the autodiff graph.
//!
//! ```text
//! y = relu(scale · x + shift + shortcut)      scale = γ / σ,  shift = β − scale · μ
//! ```
//!
//! Here μ and σ are the mean and standard deviation of a channel, γ and β its learned scale and shift. A channel
//! is one contiguous slice ([`Planes`]), so each pass reads and writes it once.

use rayon::prelude::*;

use crate::tensor::{CpuTensor, FlexTensor, Planes, TrackedTensor, from_planes, from_vec, values};
use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, OpsPrep};
use burn::nn::BatchNorm;
use burn::tensor::Tensor;

/// The mean and the biased variance (divided by n, not n − 1) of each channel, `[c]` each.
pub(crate) struct Moments {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

/// The moments of the batch `x` with `channels` channels.
pub(crate) fn moments(x: &Planes, channels: usize) -> Moments {
    let values = x.values();
    let count = values.len() / channels;
    let (mean, variance) = values
        .par_chunks(count)
        .map(|x| {
            let mean = sum(x, |x| x) / count as f32;
            (mean, sum(x, |x| (x - mean) * (x - mean)) / count as f32)
        })
        .unzip();
    Moments { mean, variance }
}

/// The output y as `[c, b, h, w]`, normalised by `moments`: the moments of the batch while training, the running
/// statistics otherwise.
fn normalise(
    x: &Planes,
    shortcut: Option<&Planes>,
    moments: &Moments,
    [gamma, beta]: [&[f32]; 2],
    epsilon: f32,
    relu: bool,
) -> Vec<f32> {
    let x = x.values();
    let count = x.len() / gamma.len();
    let mut y = vec![0.0; x.len()];
    let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
    y.par_chunks_mut(count).enumerate().for_each(|(c, y)| {
        let scale = gamma[c] / (moments.variance[c] + epsilon).sqrt();
        let (mean, beta) = (moments.mean[c], beta[c]);
        let range = c * count..(c + 1) * count;
        let of = |x: f32| (x - mean) * scale + beta;
        match shortcut {
            Some(shortcut) => {
                let shortcut = &shortcut.values()[range.clone()];
                for ((y, x), shortcut) in y.iter_mut().zip(&x[range]).zip(shortcut) {
                    *y = at_least(floor, of(*x) + shortcut);
                }
            }
            None => {
                for (y, x) in y.iter_mut().zip(&x[range]) {
                    *y = at_least(floor, of(*x));
                }
            }
        }
    });
    y
}

/// The larger of `floor` and `x`. An `x` of NaN stays NaN, so that a diverged training is noticed.
fn at_least(floor: f32, x: f32) -> f32 {
    if floor > x { floor } else { x }
}

/// The values that the backward pass needs from the forward pass.
#[derive(Debug, Clone)]
struct Saved {
    /// The input x, `[b, c, h, w]`.
    pub x: FlexTensor,
    /// The output y, `[b, c, h, w]`. The ReLU lets the gradient through where y is positive.
    pub y: FlexTensor,
    /// The scale γ, `[c]`.
    pub gamma: FlexTensor,
    /// The mean μ of the batch, `[c]`.
    pub mean: Vec<f32>,
    /// The reciprocal 1/σ of the standard deviation of the batch, `[c]`.
    pub inverse_std: Vec<f32>,
    /// Whether a ReLU follows.
    pub relu: bool,
}

/// The gradients of x and of the shortcut, `[b, c, h, w]`, and of γ and β, `[c]`.
struct NormGradients {
    pub x: FlexTensor,
    pub shortcut: FlexTensor,
    pub gamma: FlexTensor,
    pub beta: FlexTensor,
}

/// The backward pass. With x̂ = (x − μ)/σ, g the gradient at the input of the ReLU and n values in a channel:
/// dβ = Σg, dγ = Σg·x̂, dx = γ/σ · (g − dβ/n − x̂·dγ/n). The gradient of the shortcut is g.
fn gradients_of(saved: &Saved, gradient: FlexTensor) -> NormGradients {
    let channels = saved.mean.len();
    let [b, _, h, w] = saved.x.layout().shape().dims();
    let shape = [channels, b, h, w];
    let count = b * h * w;
    let (x, y) = (Planes::of(&saved.x), Planes::of(&saved.y));
    let (x, y) = (x.values(), y.values());
    let gamma = values(&saved.gamma);

    let mut behind = Planes::of(&gradient);
    drop(gradient);
    let mut of_x = vec![0.0; channels * count];
    let sums: Vec<(f32, f32)> = of_x
        .par_chunks_mut(count)
        .zip(behind.values_mut().par_chunks_mut(count))
        .enumerate()
        .map(|(c, (of_x, g))| {
            let range = c * count..(c + 1) * count;
            let (x, y) = (&x[range.clone()], &y[range]);
            if saved.relu {
                for (g, y) in g.iter_mut().zip(y) {
                    *g = if *y <= 0.0 { 0.0 } else { *g };
                }
            }
            let (mean, inverse) = (saved.mean[c], saved.inverse_std[c]);
            let of_beta = sum(g, |g| g);
            let of_gamma = sum_of_pairs(g, x, |g, x| g * (x - mean)) * inverse;
            let scale = gamma[c] * inverse;
            let constant = of_beta / count as f32;
            let slope = of_gamma * inverse / count as f32;
            for ((d, g), x) in of_x.iter_mut().zip(&*g).zip(x) {
                *d = scale * (g - constant - (x - mean) * slope);
            }
            (of_gamma, of_beta)
        })
        .collect();
    let (of_gamma, of_beta): (Vec<f32>, Vec<f32>) = sums.into_iter().unzip();
    NormGradients {
        x: from_planes(from_vec(of_x, shape), shape),
        shortcut: behind.into_tensor(),
        gamma: from_vec(of_gamma, [channels]),
        beta: from_vec(of_beta, [channels]),
    }
}

/// Number of partial sums that a sum is split into. The compiler computes partial sums by vector instructions, and a
/// long sum of f32 loses less precision.
const LANES: usize = 16;

fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum_of_pairs(x, x, |x, _| f(x))
}

fn sum_of_pairs(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += f(a[i], b[i]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| f(*a, *b)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// Whether [`forward`] can take the place of `layer` on `x`.
pub(crate) fn supports(layer: &BatchNorm, x: &Tensor<4>) -> bool {
    // Burn computes a frozen layer in a training graph.
    CpuTensor::holds(x) && (!x.device().is_autodiff() || layer.training.is_enabled())
}

/// Applies `layer` to `x` `[b, c, h, w]`, adds `shortcut` if there is one, then applies ReLU if `relu` is true.
pub(crate) fn forward(
    layer: &BatchNorm,
    x: Tensor<4>,
    shortcut: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    let is_tracked = x.device().is_autodiff();
    let x = CpuTensor::of(x);
    let shortcut = shortcut.map(CpuTensor::of);
    let [gamma, beta] = [layer.gamma.val(), layer.beta.val()].map(CpuTensor::of);
    let y = if is_tracked {
        let inputs = [x, gamma, beta].map(CpuTensor::into_tracked);
        let shortcut = shortcut.map(CpuTensor::into_tracked);
        CpuTensor::Tracked(train(layer, inputs, shortcut, relu))
    } else {
        let moments = running_moments(layer);
        let [x, gamma, beta] = [x, gamma, beta].map(CpuTensor::into_values);
        let shortcut = shortcut.map(|shortcut| Planes::of(&shortcut.into_values()));
        let affine = [values(&gamma), values(&beta)];
        let x = Planes::of(&x);
        let y = normalise(
            &x,
            shortcut.as_ref(),
            &moments,
            affine,
            layer.epsilon as f32,
            relu,
        );
        CpuTensor::Plain(x.like(y))
    };
    y.into_tensor()
}

fn train(
    layer: &BatchNorm,
    [x, gamma, beta]: [TrackedTensor; 3],
    shortcut: Option<TrackedTensor>,
    relu: bool,
) -> TrackedTensor {
    let nodes = [x.node(), gamma.node(), beta.node()];
    let shortcut = shortcut.map(|shortcut| (shortcut.node(), shortcut.into_primitive()));
    let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.into_primitive());
    let epsilon = layer.epsilon as f32;

    let planes = Planes::of(&x);
    let moments = moments(&planes, gamma.layout().num_elements());
    let added = shortcut.as_ref().map(|(_, values)| Planes::of(values));
    let affine = [values(&gamma), values(&beta)];
    let y = normalise(&planes, added.as_ref(), &moments, affine, epsilon, relu);
    let y = planes.like(y);
    let inverse_std = moments
        .variance
        .iter()
        .map(|v| (v + epsilon).sqrt().recip());
    let saved = Saved {
        x,
        y: y.clone(),
        gamma,
        inverse_std: inverse_std.collect(),
        mean: moments.mean.clone(),
        relu,
    };
    move_statistics(layer, moments);
    match shortcut {
        None => finish(Norm.prepare::<NoCheckpointing>(nodes), saved, y),
        Some((shortcut, _)) => {
            let [x, gamma, beta] = nodes;
            let nodes = [x, gamma, beta, shortcut];
            finish(Norm.prepare::<NoCheckpointing>(nodes), saved, y)
        }
    }
}

fn finish<const N: usize>(
    prepared: OpsPrep<Norm, Flex, Saved, NoCheckpointing, N>,
    saved: Saved,
    y: FlexTensor,
) -> TrackedTensor
where
    Norm: Backward<Flex, N, State = Saved>,
{
    match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(saved, y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    }
}

/// Moves the running statistics of `layer` towards `moments`, in the order of operations that burn uses.
pub(crate) fn move_statistics(layer: &BatchNorm, moments: Moments) {
    let momentum = layer.momentum;
    for (running, new) in [
        (&layer.running_mean, moments.mean),
        (&layer.running_var, moments.variance),
    ] {
        let old = running.value_sync();
        let new = Tensor::<1>::from_data(new.as_slice(), &old.device());
        let moved = old.mul_scalar(1.0 - momentum) + new.mul_scalar(momentum);
        running.update(moved.detach());
    }
}

/// The running moments of `layer`.
pub(crate) fn running_moments(layer: &BatchNorm) -> Moments {
    Moments {
        mean: to_vec(layer.running_mean.value()),
        variance: to_vec(layer.running_var.value()),
    }
}

fn to_vec(tensor: Tensor<1>) -> Vec<f32> {
    values(&CpuTensor::of(tensor).into_values().to_contiguous()).to_vec()
}

/// The node relu(BatchNorm(x) + shortcut) of the autodiff graph; its parents are x, γ, β and, if there is one, the
/// shortcut.
#[derive(Debug)]
struct Norm;

impl Backward<Flex, 3> for Norm {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let of = gradients_of(&ops.state, gradient);
        for (parent, value) in ops.parents.into_iter().zip([of.x, of.gamma, of.beta]) {
            if let Some(node) = parent {
                gradients.register::<Flex>(node.id, value);
            }
        }
    }
}

impl Backward<Flex, 4> for Norm {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let of = gradients_of(&ops.state, gradient);
        let values = [of.x, of.gamma, of.beta, of.shortcut];
        for (parent, value) in ops.parents.into_iter().zip(values) {
            if let Some(node) = parent {
                gradients.register::<Flex>(node.id, value);
            }
        }
    }
}
