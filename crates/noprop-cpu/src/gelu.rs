//! GELU behind a BatchNorm or behind a bias, as one operation of the autodiff graph.
//!
//! ```text
//! y = gelu(u)      u = scale · (x − mean) + shift      gelu(u) = u · sigmoid(1.5957691 · (u + 0.044715 · u³))
//! ```
//!
//! Behind a BatchNorm scale is γ/σ and shift is β; behind a bias scale is 1, mean is 0 and shift is the bias. A
//! channel is one contiguous slice ([`Planes`]), so each pass reads and writes it once. The backward pass computes
//! gelu′(u) again from x and keeps no output.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, OpsPrep};
use burn::nn::BatchNorm;
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::norm::{moments, move_statistics, running_moments};
use crate::tensor::{CpuTensor, FlexTensor, Planes, TrackedTensor, from_vec, values};

/// 2·√(2/π): the factor of the approximation by tanh, written with a sigmoid.
const SLOPE: f32 = 1.595_769;
const CUBIC: f32 = 0.044_715;

/// e^x for x from −87 to 88, with a relative error of some 1e-7; smaller and larger x count as the ends of that
/// range. It has no branches, so that the compiler computes several at once by vector instructions.
#[inline(always)]
#[allow(clippy::excessive_precision)] // ln 2 in two parts: the first has few digits, so that n times it is exact.
fn exp(x: f32) -> f32 {
    const HIGH: f32 = 0.693_359_375;
    const LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5·2²³ rounds to the nearest whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let rounded = x * core::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * HIGH) - n * LOW;
    // The Taylor series to the seventh power: |r| is at most ln 2 / 2.
    let mut p = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
        p = p * r + coefficient;
    }
    let p = p * r + 1.0;
    // 2ⁿ: n from −126 to 127 in the bits of the exponent.
    let power = rounded.to_bits().wrapping_add(127) << 23;
    p * f32::from_bits(power)
}

/// The sigmoid of the argument at u.
#[inline(always)]
fn gate(u: f32) -> f32 {
    let t = SLOPE * (u + CUBIC * u * u * u);
    1.0 / (1.0 + exp(-t))
}

#[inline(always)]
fn gelu(u: f32) -> f32 {
    u * gate(u)
}

/// The derivative of [`gelu`].
#[inline(always)]
fn gelu_slope(u: f32) -> f32 {
    let s = gate(u);
    s + u * s * (1.0 - s) * (SLOPE + 3.0 * SLOPE * CUBIC * u * u)
}

/// The line u = scale · (x − mean) + shift of each channel, `[c]` each.
#[derive(Debug, Clone)]
struct Lines {
    scale: Vec<f32>,
    mean: Vec<f32>,
    shift: Vec<f32>,
    /// 1/σ of the batch whose mean and standard deviation depend on x; nothing behind a bias.
    inverse_std: Option<Vec<f32>>,
}

impl Lines {
    /// gelu(u) as `[c, b, h, w]`.
    fn forward(&self, x: &Planes) -> Vec<f32> {
        let x = x.values();
        let count = x.len() / self.scale.len();
        let mut y = vec![0.0; x.len()];
        y.par_chunks_mut(count)
            .zip(x.par_chunks(count))
            .enumerate()
            .for_each(|(c, (y, x))| {
                let (scale, mean, shift) = (self.scale[c], self.mean[c], self.shift[c]);
                for (y, x) in y.iter_mut().zip(x) {
                    *y = gelu((x - mean) * scale + shift);
                }
            });
        y
    }

    /// The gradients of x, `[b, c, h, w]`, of γ and of the shift, `[c]`. With g the gradient at u and
    /// x̂ = (x − μ)/σ: d(shift) = Σg, dγ = Σg·x̂, dx = scale · (g − Σg/n − x̂·dγ/n), and behind a bias dx = g.
    fn backward(&self, x: &FlexTensor, gradient: FlexTensor, needs_x: bool) -> LineGradients {
        let [b, channels, h, w] = x.layout().shape().dims();
        let count = b * h * w;
        let x = Planes::of(x);
        let mut at_u = Planes::of(&gradient);
        drop(gradient);
        let sums: Vec<(f32, f32)> = at_u
            .values_mut()
            .par_chunks_mut(count)
            .zip(x.values().par_chunks(count))
            .enumerate()
            .map(|(c, (g, x))| {
                let (scale, mean, shift) = (self.scale[c], self.mean[c], self.shift[c]);
                let of = |g: f32, x: f32| {
                    let centred = x - mean;
                    let g = g * gelu_slope(centred * scale + shift);
                    (g, g * centred)
                };
                let (of_shift, moment) = replace_and_sum(g, x, of);
                let Some(inverse) = self.inverse_std.as_ref().map(|inverse| inverse[c]) else {
                    return (0.0, of_shift);
                };
                let of_gamma = moment * inverse;
                if needs_x {
                    let constant = of_shift / count as f32;
                    let slope = of_gamma * inverse / count as f32;
                    for (g, x) in g.iter_mut().zip(x) {
                        *g = scale * (*g - constant - (x - mean) * slope);
                    }
                }
                (of_gamma, of_shift)
            })
            .collect();
        let (of_gamma, of_shift): (Vec<f32>, Vec<f32>) = sums.into_iter().unzip();
        LineGradients {
            x: at_u.into_tensor(),
            gamma: from_vec(of_gamma, [channels]),
            shift: from_vec(of_shift, [channels]),
        }
    }
}

struct LineGradients {
    x: FlexTensor,
    gamma: FlexTensor,
    shift: FlexTensor,
}

/// Number of partial sums that a sum is split into. The compiler computes them by vector instructions, and a
/// long sum of f32 loses less precision.
const LANES: usize = 16;

/// Replaces each g by the first value of `of(g, x)`, and gives the sums of the first and of the second values.
#[inline(always)]
fn replace_and_sum(g: &mut [f32], x: &[f32], of: impl Fn(f32, f32) -> (f32, f32)) -> (f32, f32) {
    let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
    let (g, g_rest) = g.as_chunks_mut::<LANES>();
    let (x, x_rest) = x.as_chunks::<LANES>();
    for (g, x) in g.iter_mut().zip(x) {
        for i in 0..LANES {
            let (a, b) = of(g[i], x[i]);
            g[i] = a;
            first[i] += a;
            second[i] += b;
        }
    }
    for (i, (g, x)) in g_rest.iter_mut().zip(x_rest).enumerate() {
        let (a, b) = of(*g, *x);
        *g = a;
        first[i] += a;
        second[i] += b;
    }
    (first.iter().sum(), second.iter().sum())
}

/// gelu(BatchNorm(x)) by `layer` for `x` `[b, c, h, w]`; see [`crate::norm::supports`].
pub(crate) fn norm_gelu(layer: &BatchNorm, x: Tensor<4>) -> Tensor<4> {
    let is_tracked = x.device().is_autodiff();
    let x = CpuTensor::of(x);
    let epsilon = layer.epsilon as f32;
    let [gamma, beta] = [layer.gamma.val(), layer.beta.val()].map(CpuTensor::of);
    if is_tracked {
        let [x, gamma, beta] = [x, gamma, beta].map(CpuTensor::into_tracked);
        let nodes = [x.node(), gamma.node(), beta.node()];
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.into_primitive());
        let planes = Planes::of(&x);
        let moments = moments(&planes, gamma.layout().num_elements());
        let lines = lines(&gamma, &beta, &moments.mean, &moments.variance, epsilon);
        let y = planes.like(lines.forward(&planes));
        move_statistics(layer, moments);
        let prepared = Gelu.prepare::<NoCheckpointing>(nodes);
        CpuTensor::Tracked(finish(prepared, (lines, x), y)).into_tensor()
    } else {
        let moments = running_moments(layer);
        let [x, gamma, beta] = [x, gamma, beta].map(CpuTensor::into_values);
        let lines = lines(&gamma, &beta, &moments.mean, &moments.variance, epsilon);
        let x = Planes::of(&x);
        CpuTensor::Plain(x.like(lines.forward(&x))).into_tensor()
    }
}

/// gelu(x + bias) for `x` `[b, c, h, w]` on the CPU and `bias` `[c]`.
pub(crate) fn bias_gelu(x: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let is_tracked = x.device().is_autodiff();
    let [x, bias] = [CpuTensor::of(x), CpuTensor::of(bias)];
    let lines = |bias: &FlexTensor| {
        let shift = values(&bias.to_contiguous()).to_vec();
        Lines {
            scale: vec![1.0; shift.len()],
            mean: vec![0.0; shift.len()],
            shift,
            inverse_std: None,
        }
    };
    if is_tracked {
        let [x, bias] = [x, bias].map(CpuTensor::into_tracked);
        let nodes = [x.node(), bias.node()];
        let [x, bias] = [x, bias].map(|tensor| tensor.into_primitive());
        let lines = lines(&bias);
        let planes = Planes::of(&x);
        let y = planes.like(lines.forward(&planes));
        let prepared = Gelu.prepare::<NoCheckpointing>(nodes);
        CpuTensor::Tracked(finish(prepared, (lines, x), y)).into_tensor()
    } else {
        let [x, bias] = [x, bias].map(CpuTensor::into_values);
        let x = Planes::of(&x);
        CpuTensor::Plain(x.like(lines(&bias).forward(&x))).into_tensor()
    }
}

fn lines(
    gamma: &FlexTensor,
    beta: &FlexTensor,
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
) -> Lines {
    let inverse = variance.iter().map(|v| (v + epsilon).sqrt().recip());
    let inverse_std: Vec<f32> = inverse.collect();
    let gamma = gamma.to_contiguous();
    let scale = values(&gamma).iter().zip(&inverse_std).map(|(g, s)| g * s);
    Lines {
        scale: scale.collect(),
        mean: mean.to_vec(),
        shift: values(&beta.to_contiguous()).to_vec(),
        inverse_std: Some(inverse_std),
    }
}

type Saved = (Lines, FlexTensor);
fn finish<const N: usize>(
    prepared: OpsPrep<Gelu, Flex, Saved, NoCheckpointing, N>,
    saved: Saved,
    y: FlexTensor,
) -> TrackedTensor
where
    Gelu: Backward<Flex, N, State = Saved>,
{
    match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(saved, y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    }
}

/// The node gelu(u) of the graph; its parents are x, γ and β, or x and the bias.
#[derive(Debug)]
struct Gelu;

impl Backward<Flex, 3> for Gelu {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let (lines, x) = ops.state;
        let of = lines.backward(&x, gradient, ops.parents[0].is_some());
        for (parent, value) in ops.parents.into_iter().zip([of.x, of.gamma, of.shift]) {
            if let Some(node) = parent {
                gradients.register::<Flex>(node.id, value);
            }
        }
    }
}

impl Backward<Flex, 2> for Gelu {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let (lines, x) = ops.state;
        let of = lines.backward(&x, gradient, ops.parents[0].is_some());
        for (parent, value) in ops.parents.into_iter().zip([of.x, of.shift]) {
            if let Some(node) = parent {
                gradients.register::<Flex>(node.id, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(u: f64) -> f64 {
        u / (1.0 + (-1.595_769_121_605_731 * (u + 0.044_715 * u * u * u)).exp())
    }

    #[test]
    fn the_exponential_is_that_of_f64() {
        for i in -86_000..=88_000 {
            let x = i as f32 / 1000.0;
            let wanted = f64::from(x).exp();
            let error = (f64::from(exp(x)) - wanted).abs() / wanted;
            assert!(error < 1e-6, "e^{x} is off by {error}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-1e30) > 0.0 && exp(1e30).is_finite());
    }

    #[test]
    fn gelu_and_its_slope_are_those_of_f64() {
        for i in -12_000..=12_000 {
            let u = f64::from(i) / 1000.0;
            let error = (f64::from(gelu(u as f32)) - exact(u)).abs();
            assert!(
                error < 1e-6 * u.abs().max(1.0),
                "gelu({u}) is off by {error}"
            );
            let h = 1e-5;
            let slope = (exact(u + h) - exact(u - h)) / (2.0 * h);
            let error = (f64::from(gelu_slope(u as f32)) - slope).abs();
            assert!(error < 3e-6, "the slope at {u} is off by {error}");
        }
        assert!(gelu(f32::NAN).is_nan());
    }
}
