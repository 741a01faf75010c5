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
