//! BatchNorm, the shortcut of a residual block and ReLU in one pass.
//!
//! ```text
//! y = relu(scale · x + shift + shortcut)      scale = γ / σ,  shift = β − scale · μ
//! ```
//!
//! A channel is one contiguous slice ([`Planes`]), so each pass reads and writes it once.

use rayon::prelude::*;

use crate::cpu_tensor::{FlexTensor, from_vec, values};
use crate::planes::{self, Planes};

/// Mean and biased variance of each channel, `[c]`.
pub(crate) struct Moments {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

/// The moments of a batch.
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

/// y of the shape `[c, b, h, w]`, for the moments of this batch or any others.
pub(crate) fn forward(
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

/// The larger; NaN stays NaN, so that a diverged training shows.
fn at_least(floor: f32, x: f32) -> f32 {
    if floor > x { floor } else { x }
}

/// What the backward pass needs of the forward pass.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    /// `[b, c, h, w]`.
    pub x: FlexTensor,
    /// `[b, c, h, w]`; where it is positive the ReLU let the gradient through.
    pub y: FlexTensor,
    pub gamma: FlexTensor,
    pub mean: Vec<f32>,
    /// 1/σ.
    pub inverse_std: Vec<f32>,
    pub relu: bool,
}

/// Gradients of x and of the shortcut, `[b, c, h, w]`, of γ and β, `[c]`.
pub(crate) struct Backward {
    pub x: FlexTensor,
    pub shortcut: FlexTensor,
    pub gamma: FlexTensor,
    pub beta: FlexTensor,
}

/// With x̂ = (x − μ)/σ, g the gradient behind the ReLU and n values in a channel:
/// dβ = Σg, dγ = Σg·x̂, dx = γ/σ · (g − dβ/n − x̂·dγ/n).
pub(crate) fn backward(saved: &Saved, gradient: FlexTensor) -> Backward {
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
    Backward {
        x: planes::tensor(from_vec(of_x, shape), shape),
        shortcut: behind.into_tensor(),
        gamma: from_vec(of_gamma, [channels]),
        beta: from_vec(of_beta, [channels]),
    }
}

/// Partial sums in parallel lanes: the compiler makes vectors of them, and a long sum of f32
/// loses less.
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
