//! How the times t of a batch are drawn; the expected loss is the same.

use serde::{Deserialize, Serialize};

/// Distribution of the times of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSampling {
    /// Independent and uniform (the paper).
    #[default]
    Uniform,
    /// One in each of b equal parts of [0, 1].
    Stratified,
    /// In pairs t and 1 − t.
    Antithetic,
    /// Such that λ(t) = log SNR(t) is uniform; the loss of each image is divided by the density of its t.
    Importance,
}

impl TimeSampling {
    /// Whether it is the paper's.
    pub(super) fn is_uniform(&self) -> bool {
        *self == Self::Uniform
    }

    /// Independent uniform numbers in [0, 1) made to what this asks for. Images stand in random order in
    /// a batch, so that the time of each is uniform.
    pub(super) fn spread(self, uniform: Vec<f32>) -> Vec<f32> {
        let n = uniform.len();
        match self {
            Self::Uniform | Self::Importance => uniform,
            Self::Stratified => {
                let within = |(i, u): (usize, f32)| (i as f32 + u) / n as f32;
                uniform.into_iter().enumerate().map(within).collect()
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
    use burn::tensor::{Device, Tensor, TensorData};

    use super::super::tests::{config, scalar};
    use super::super::{Batch, Draws, ObjectiveConfig};
    use super::*;
    use crate::dropout::Dropout;
    use crate::model::NoProp;
    use crate::noise::{NoiseSource, Purpose};

    /// However times are drawn, the denoising term has the same mean: that of a fine midpoint rule.
    #[test]
    fn every_way_to_draw_times_has_the_same_expected_loss() {
        const ROWS: usize = 64;
        const BATCHES: usize = 60;
        let device = Device::flex();
        let config = config();
        let model = NoProp::new(&config, 2, &device).unwrap();
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
                block: 0,
            };
            let objective = ObjectiveConfig::Ct {
                eta: 1.0,
                max_weight: None,
                time_sampling,
            };
            scalar(&objective.loss(&model, batch).denoise)
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
                    loss(sampling.spread(source.uniform(ROWS)), sampling)
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
