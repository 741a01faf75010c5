//! The input and output of a loss: the batch with its random numbers, and the terms of the loss.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::Method;
use crate::dropout::Dropout;
use crate::noise::NoiseSource;

/// A batch: the input of a loss.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The normalised images, `[b, c, h, w]`.
    pub images: Tensor<4>,
    /// The class indices, `[b]`.
    pub labels: Tensor<1, Int>,
    /// The random numbers of this batch.
    pub draws: Draws,
    /// The source of the masks of dropout.
    pub dropout: Dropout,
    /// The index of the block of NoProp-DT to train, counted from 0; with `None` only the output head is
    /// trained. Other methods ignore it.
    pub block: Option<usize>,
}

/// The random numbers of a batch. They are drawn on the host, so they do not depend on the device.
#[derive(Debug, Clone)]
pub struct Draws {
    /// The times t in [0, 1], `[b·K, 1]`, where each image has K rows in succession ([`Method::draws`]). With
    /// [`TimeSampling::Importance`] they are instead the fractions of the way from λ(0) to λ(1).
    ///
    /// [`Method::draws`]: super::Method::draws
    pub t: Tensor<2>,
    /// The noise ε of z_t (of z_{t−1} in NoProp-DT), `[b·K, d]`. For flows and the baselines it is z_0.
    pub noise: Tensor<2>,
    /// The noise ε′ of z_1 (of z_T in NoProp-DT), `[b, d]`. For flow matching it is the noise on the path.
    pub noise_1: Tensor<2>,
}

/// The [`Draws`] of a whole batch on the host. Each shard of the batch uploads its own rows.
#[derive(Debug, Clone)]
pub struct HostDraws {
    t: Vec<f32>,
    noise: Vec<f32>,
    noise_1: Vec<f32>,
    dim: usize,
    /// The number K of rows of `t` and `noise` for each image.
    draws: usize,
}

impl HostDraws {
    /// Draws the random numbers of a batch of `count` images for `method`, with latents of dimension `dim`.
    pub fn new(source: &mut NoiseSource, count: usize, dim: usize, method: &Method) -> Self {
        let draws = method.draws();
        let rows = count * draws;
        Self {
            t: method.time_sampling().draw(source, rows),
            noise: source.normal(rows * dim),
            noise_1: source.normal(count * dim),
            dim,
            draws,
        }
    }

    /// Uploads the random numbers of the images `rows` of the batch to `device`.
    pub fn upload(&self, rows: core::ops::Range<usize>, device: &Device) -> Draws {
        // `repeats` rows of `width` numbers for each image.
        let matrix = |values: &[f32], repeats: usize, width: usize| {
            let size = repeats * width;
            let values = values[rows.start * size..rows.end * size].to_vec();
            Tensor::from_data(
                TensorData::new(values, [rows.len() * repeats, width]),
                device,
            )
        };
        Draws {
            t: matrix(&self.t, self.draws, 1),
            noise: matrix(&self.noise, self.draws, self.dim),
            noise_1: matrix(&self.noise_1, 1, self.dim),
        }
    }
}

/// The loss of a batch and its terms. Every field is `[1]`, a mean over the batch.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The sum of the terms, to be differentiated.
    pub total: Tensor<1>,
    /// The cross-entropy −log p̂_out(y | z_1), with z_T in NoProp-DT and z̃_1 in flow matching in place of z_1.
    pub ce: Tensor<1>,
    /// The divergence KL(q(z_0|y) ‖ N(0, I)); zero in flow matching and the baselines.
    pub kl: Tensor<1>,
    /// The denoising term: η w(t) ℓ in continuous time, η T (SNR(t) − SNR(t−1)) ℓ in NoProp-DT (with
    /// ℓ = ½ ‖û − u_y‖² in the paper), ‖v − (u_y − z_0)‖² in flow matching, zero in the baselines.
    pub denoise: Tensor<1>,
}

impl Loss {
    /// A loss with these terms. Only the total keeps its graph.
    pub(super) fn new(ce: Tensor<1>, kl: Tensor<1>, denoise: Tensor<1>) -> Self {
        Self {
            total: ce.clone() + kl.clone() + denoise.clone(),
            ce: ce.detach(),
            kl: kl.detach(),
            denoise: denoise.detach(),
        }
    }

    /// A loss with a cross-entropy and no other term, as in the baselines.
    pub(super) fn cross_entropy_alone(ce: Tensor<1>) -> Self {
        let zero = Tensor::zeros([1], &ce.device());
        Self::new(ce, zero.clone(), zero)
    }
}

/// The mean of −log softmax(logits)[label] over the batch, `[1]`, of `logits` `[b, m]` and `labels` `[b]`.
pub(super) fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits, 1)
        .gather(1, labels.unsqueeze_dim::<2>(1))
        .mean()
        .neg()
}

/// The cross-entropy `[b, 1]` of each row with label smoothing: (1 − s) times −`log_p`[label], plus s times the
/// mean of −log softmax(`own`) over the classes. `log_p` and `own` are `[b, m]`, `labels` is `[b]`. Plain label
/// smoothing has `log_p` = log softmax(`own`).
pub(super) fn smoothed_cross_entropy(
    log_p: Tensor<2>,
    own: Tensor<2>,
    labels: Tensor<1, Int>,
    smoothing: f64,
) -> Tensor<2> {
    let of_label = log_p.gather(1, labels.unsqueeze_dim::<2>(1)).neg();
    if smoothing == 0.0 {
        return of_label;
    }
    let uniform = log_softmax(own, 1).mean_dim(1).neg();
    of_label.mul_scalar(1.0 - smoothing) + uniform.mul_scalar(smoothing)
}

/// The distribution of the times t of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSampling {
    /// Times are independent and uniform in [0, 1], as in the paper.
    #[default]
    Uniform,
    /// One of n times is uniform in each of n equal parts of [0, 1]. Which row has which part is random.
    Stratified,
    /// Rows 2i and 2i + 1 have the times t and 1 − t.
    Antithetic,
    /// Times are such that λ(t) = log SNR(t) is uniform. The denoising term of each image is divided by the
    /// probability density of its t.
    Importance,
}

impl TimeSampling {
    /// Whether times are uniform, as in the paper.
    pub(super) fn is_uniform(&self) -> bool {
        *self == Self::Uniform
    }

    /// The times of `n` rows. The time of each row is uniform in [0, 1), whatever its place in the batch.
    pub(super) fn draw(self, source: &mut NoiseSource, n: usize) -> Vec<f32> {
        let uniform = source.uniform(n);
        match self {
            Self::Uniform | Self::Importance => uniform,
            Self::Stratified => {
                let parts = source.permutation(n);
                let within = |(part, u): (usize, f32)| (part as f32 + u) / n as f32;
                parts.into_iter().zip(uniform).map(within).collect()
            }
            Self::Antithetic => (0..n)
                .map(|i| match i % 2 {
                    0 => uniform[i],
                    _ => 1.0 - uniform[i - 1],
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{config, ct, scalar};
    use super::super::{Ct, Method};
    use super::*;
    use crate::model::NoProp;
    use crate::noise::Purpose;

    /// However times are drawn, the denoising term has the same mean: that of a fine midpoint rule.
    #[test]
    fn every_way_to_draw_times_has_the_same_expected_loss() {
        const ROWS: usize = 64;
        const BATCHES: usize = 60;
        let device = Device::flex();
        let config = config();
        let pixels = NoiseSource::new(4, Purpose::Training, 0).normal(16);
        let loss = |t: Vec<f32>, time_sampling| {
            let n = t.len();
            let image =
                Tensor::<4>::from_data(TensorData::new(pixels.clone(), [1, 1, 4, 4]), &device);
            let batch = Batch {
                images: image.expand([n, 1, 4, 4]),
                labels: Tensor::from_data(TensorData::new(vec![1_i32; n], [n]), &device),
                draws: Draws {
                    t: Tensor::from_data(TensorData::new(t, [n, 1]), &device),
                    // Without noise the term is a function of t alone.
                    noise: Tensor::zeros([n, 4], &device),
                    noise_1: Tensor::zeros([n, 4], &device),
                },
                dropout: Dropout::Off,
                block: None,
            };
            let method = Method::Ct(Ct {
                time_sampling,
                ..ct()
            });
            let model = NoProp::new(&method, &config, 2, &device).unwrap();
            scalar(&model.loss(batch).denoise)
        };
        let midpoints = (0..4096).map(|i| (i as f32 + 0.5) / 4096.0).collect();
        let expected = loss(midpoints, TimeSampling::Uniform);
        let mut errors = Vec::new();
        for sampling in [
            TimeSampling::Uniform,
            TimeSampling::Stratified,
            TimeSampling::Antithetic,
            TimeSampling::Importance,
        ] {
            let losses: Vec<f64> = (0..BATCHES)
                .map(|i| {
                    let mut source = NoiseSource::new(7, Purpose::Training, i as u64);
                    loss(sampling.draw(&mut source, ROWS), sampling)
                })
                .collect();
            let mean = losses.iter().sum::<f64>() / BATCHES as f64;
            let squares: f64 = losses.iter().map(|loss| (loss - mean).powi(2)).sum();
            let error = (squares / (BATCHES * (BATCHES - 1)) as f64).sqrt();
            // Four standard errors of the mean, and the rounding of f32 sums.
            assert!(
                (mean - expected).abs() < 4.0 * error + 1e-5 * expected,
                "{sampling:?}: {mean} ± {error}, expected {expected}"
            );
            errors.push(error);
        }
        // A limit of four standard errors that were large would prove nothing.
        assert!(
            errors.iter().all(|error| *error < 0.03 * expected),
            "{errors:?} of {expected}"
        );
        // Strata leave the variation within them only, 1/64 of the whole range each.
        assert!(errors[1] < 0.2 * errors[0], "{errors:?}");
    }
}
