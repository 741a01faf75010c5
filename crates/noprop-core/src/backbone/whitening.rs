//! The whitening of patches: filters whose outputs on 2×2 patches of the training images are not correlated with
//! each other and have a mean square of 1.
//!
//! With the second moments M = E[p pᵀ] of patches p, its eigenvalues λ and eigenvectors v, the filters are
//! v/√(λ + ε) and −v/√(λ + ε).

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::normalization::Normalization;

/// The side of a patch, in pixels.
pub(super) const SIDE: usize = 2;
/// The name of the whitening layer within a backbone, as it stands in the paths of parameters.
const LAYER: &str = "whitening";
/// ε: it bounds the filters of directions in which patches hardly vary.
const EPSILON: f64 = 5e-4;

/// The number of values of a patch of images with `channels` channels.
pub(super) fn patch_size(channels: usize) -> usize {
    channels * SIDE * SIDE
}

/// The filters `[2 · n, channels, 2, 2]`, where n = 4 · `channels` is the number of values of a patch, of the images
/// `pixels`. They are normalised by `normalization` first.
///
/// The images are given by their pixels 0 … 255, one image of `shape` (channels, height, width) after the other. If
/// they are grey, the model may have more channels, which repeat the one.
pub fn whitening_filters(
    pixels: &[u8],
    shape: [usize; 3],
    channels: usize,
    normalization: &Normalization,
) -> Vec<f32> {
    let moments = second_moments(pixels, shape, channels, normalization);
    let size = patch_size(channels);
    let (eigenvalues, eigenvectors) = eigen(moments, size);
    // The direction of the largest variance first.
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let rows = order.into_iter().map(|i| {
        let scale = (eigenvalues[i].max(0.0) + EPSILON).sqrt().recip();
        let vector = (0..size).map(|j| (eigenvectors[j * size + i] * scale) as f32);
        vector.collect()
    });
    with_negatives(rows.collect())
}

/// The filters of a network that no trainer has given any: an orthonormal basis of patches, the cosines of the
/// discrete cosine transform, and its negative.
pub(super) fn cosine_filters(channels: usize) -> Vec<f32> {
    let size = patch_size(channels);
    let row = |k: usize| -> Vec<f32> {
        let scale = (if k == 0 { 1.0 } else { 2.0 } / size as f64).sqrt();
        let angle = |j: usize| core::f64::consts::PI * (j as f64 + 0.5) * k as f64 / size as f64;
        (0..size)
            .map(|j| (scale * libm::cos(angle(j))) as f32)
            .collect()
    };
    with_negatives((0..size).map(row).collect())
}

fn with_negatives(rows: Vec<Vec<f32>>) -> Vec<f32> {
    let mut filters = rows.concat();
    let negatives: Vec<f32> = filters.iter().map(|value| -value).collect();
    filters.extend(negatives);
    filters
}

/// `model` with `filters` in place of those of every whitening layer in it. They are `[2 · n, channels, 2, 2]`.
pub fn with_whitening_filters<M: Module>(model: M, filters: &[f32]) -> M {
    struct Replace<'a> {
        path: Vec<String>,
        filters: &'a [f32],
    }
    impl ModuleMapper for Replace<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if !matches!(&self.path[..], [.., layer, name] if layer == LAYER && name == "weight") {
                return param;
            }
            param.map(|old| filter_tensor(self.filters, old.dims(), &old.device()))
        }
    }
    model.map(&mut Replace {
        path: Vec::new(),
        filters,
    })
}

pub(super) fn filter_tensor<const D: usize>(
    filters: &[f32],
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(filters.to_vec(), shape), device)
}

/// M, `[n, n]` row-major: the mean over all patches of all images.
fn second_moments(
    pixels: &[u8],
    [found, height, width]: [usize; 3],
    channels: usize,
    normalization: &Normalization,
) -> Vec<f64> {
    let size = patch_size(channels);
    let normalised: Vec<[f64; 256]> = (0..channels)
        .map(|channel| {
            let channel = channel.min(normalization.channels() - 1);
            let (mean, std) = (normalization.mean[channel], normalization.std[channel]);
            let of = |pixel| (pixel as f64 / 255.0 - f64::from(mean)) / f64::from(std);
            core::array::from_fn(of)
        })
        .collect();
    let (mut sum, mut count) = (vec![0.0; size * size], 0);
    let mut patch = vec![0.0; size];
    for image in pixels.chunks_exact(found * height * width) {
        for (y, x) in (0..height - 1).flat_map(|y| (0..width - 1).map(move |x| (y, x))) {
            for (i, value) in patch.iter_mut().enumerate() {
                let (channel, dy, dx) = (i / 4, i / 2 % 2, i % 2);
                let plane = channel.min(found - 1);
                let pixel = image[(plane * height + y + dy) * width + x + dx];
                *value = normalised[channel][usize::from(pixel)];
            }
            for (row, &a) in sum.chunks_exact_mut(size).zip(&patch) {
                for (sum, b) in row.iter_mut().zip(&patch) {
                    *sum += a * b;
                }
            }
            count += 1;
        }
    }
    let scale = f64::from(count.max(1));
    sum.iter().map(|value| value / scale).collect()
}

/// The eigenvalues of the symmetric matrix `a` `[n, n]`, and its eigenvectors as the columns of `[n, n]`, by
/// Jacobi's method: rotations in planes of two axes, each of which makes one pair of entries zero.
fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    /// Sweeps over all pairs. Ten suffice for matrices of this size; the method converges quadratically.
    const SWEEPS: usize = 60;
    let mut vectors = vec![0.0; n * n];
    for i in 0..n {
        vectors[i * n + i] = 1.0;
    }
    for _ in 0..SWEEPS {
        let of = |i: usize, j: usize| if i == j { 0.0 } else { a[i * n + j].powi(2) };
        let off: f64 = (0..n * n).map(|k| of(k / n, k % n)).sum();
        let all: f64 = a.iter().map(|value| value * value).sum();
        if off <= all * 1e-30 {
            break;
        }
        for (p, q) in (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))) {
            let entry = a[p * n + q];
            if entry == 0.0 {
                continue;
            }
            let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * entry);
            let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
            let cos = (tangent * tangent + 1.0).sqrt().recip();
            let sin = tangent * cos;
            let rotate = |m: &mut [f64], i: usize, j: usize| {
                (m[i], m[j]) = (cos * m[i] - sin * m[j], sin * m[i] + cos * m[j]);
            };
            for k in 0..n {
                rotate(&mut a, k * n + p, k * n + q);
                rotate(&mut vectors, k * n + p, k * n + q);
            }
            for k in 0..n {
                rotate(&mut a, p * n + k, q * n + k);
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [3, 9, 10];

    /// Images whose neighbouring pixels and channels are alike.
    fn images(count: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24)
        };
        let mut pixels = Vec::new();
        for _ in 0..count {
            let (phase, slant) = (6.3 * next(), next());
            let common: Vec<f64> = (0..90).map(|_| next()).collect();
            for channel in 0..3 {
                for (i, common) in common.iter().enumerate() {
                    let wave = (phase + slant * (i / 10) as f64 + 0.4 * (i % 10) as f64).sin();
                    let shade = 0.5 + 0.3 * wave + 0.15 * (common - 0.5);
                    let noise = 0.1 * (next() - 0.5) * f64::from(channel + 1);
                    pixels.push(((shade + noise) * 255.0).clamp(0.0, 255.0) as u8);
                }
            }
        }
        pixels
    }

    /// The mean of f_i · f_j over all patches, where f are the filters' outputs.
    fn moments_of_outputs(
        filters: &[f32],
        pixels: &[u8],
        normalization: &Normalization,
    ) -> Vec<f64> {
        let (mut sum, mut count) = (vec![0.0; 144], 0.0);
        for image in pixels.chunks(270) {
            for (y, x) in (0..8).flat_map(|y| (0..9).map(move |x| (y, x))) {
                let at = |c: usize, dy: usize, dx: usize| {
                    let pixel = f64::from(image[90 * c + 10 * (y + dy) + x + dx]) / 255.0;
                    (pixel - f64::from(normalization.mean[c])) / f64::from(normalization.std[c])
                };
                let output = |filter: &[f32]| -> f64 {
                    (0..12)
                        .map(|i| f64::from(filter[i]) * at(i / 4, i / 2 % 2, i % 2))
                        .sum()
                };
                let outputs: Vec<f64> = filters.chunks(12).take(12).map(output).collect();
                for i in 0..144 {
                    sum[i] += outputs[i / 12] * outputs[i % 12];
                }
                count += 1.0;
            }
        }
        sum.iter().map(|value| value / count).collect()
    }

    #[test]
    fn outputs_are_uncorrelated_and_of_unit_size() {
        let pixels = images(60);
        let normalization = Normalization::of(&pixels, SHAPE);
        let filters = whitening_filters(&pixels, SHAPE, 3, &normalization);
        assert_eq!(filters.len(), 24 * 12);
        for (a, b) in filters[..144].iter().zip(&filters[144..]) {
            assert_eq!(*a, -b);
        }
        let moments = moments_of_outputs(&filters, &pixels, &normalization);
        for (i, moment) in moments.iter().enumerate() {
            let wanted = f64::from(u8::from(i / 12 == i % 12));
            // λ/(λ + ε) on the diagonal: the smallest λ of these images is some 0.002.
            let tolerance = if wanted == 1.0 { 0.3 } else { 1e-3 };
            assert!((moment - wanted).abs() < tolerance, "{i}: {}", moment);
        }
        assert!(moments.iter().step_by(13).filter(|m| **m > 0.99).count() >= 6);
    }

    #[test]
    fn the_eigenvectors_diagonalise() {
        let a = vec![4.0, 1.0, -2.0, 1.0, 2.0, 0.5, -2.0, 0.5, 3.0];
        let (eigenvalues, vectors) = eigen(a.clone(), 3);
        for k in 0..3 {
            for i in 0..3 {
                let product: f64 = (0..3).map(|j| a[3 * i + j] * vectors[3 * j + k]).sum();
                assert!((product - eigenvalues[k] * vectors[3 * i + k]).abs() < 1e-12);
            }
        }
        assert!((eigenvalues.iter().sum::<f64>() - 9.0).abs() < 1e-12);
    }

    #[test]
    fn grey_images_are_repeated() {
        let pixels = &images(4)[..90];
        let normalization = Normalization::of(pixels, [1, 9, 10]);
        let one = whitening_filters(pixels, [1, 9, 10], 1, &normalization);
        assert_eq!(one.len(), 8 * 4);
        let three = whitening_filters(pixels, [1, 9, 10], 3, &normalization);
        assert!(three.len() == 24 * 12 && three.iter().all(|value| value.is_finite()));
    }
}
