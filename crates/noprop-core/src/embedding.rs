//! The class embeddings W_Embed: the points u_y in which the denoising process ends at t = 1 (paper §2.2.1).

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::noise::{NoiseSource, Purpose};
use crate::schedule::SchedulePoint;

/// The kind of the class embeddings W_Embed and their initial values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClassEmbeddingConfig {
    /// One-hot class embeddings: the identity matrix, fixed; d = m.
    #[default]
    OneHot,
    /// Learned class embeddings of dimension d.
    Learned {
        /// The dimension d; without it d is the `embed_dim` of the model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dim: Option<usize>,
        /// The initial values.
        #[serde(default)]
        init: EmbeddingInit,
    },
    /// Learned class embeddings that start from a training image of each class, its prototype.
    Prototype {
        /// The representation of a prototype: its pixels or its features.
        #[serde(default)]
        source: PrototypeSource,
    },
}

/// The initial values of learned class embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmbeddingInit {
    /// Orthonormal rows if d ≥ m, orthonormal columns otherwise.
    #[default]
    Orthogonal,
    /// Independent standard normal entries.
    Random,
}

/// The representation of the prototype of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrototypeSource {
    /// The pixels of the image of the class with the smallest median distance to the others; d is the size of
    /// an image (paper).
    #[default]
    Image,
    /// The features that the untrained backbone gives for the medoid of ten random images of the class
    /// (`noprop_simple.py`); d = `embed_dim`.
    RandomFeatures,
}

impl ClassEmbeddingConfig {
    /// The dimension d of a class embedding, in a model with `classes` classes, width `embed_dim` and images
    /// of shape `input`.
    pub fn dim(&self, classes: usize, embed_dim: usize, input: [usize; 3]) -> usize {
        match self {
            Self::OneHot => classes,
            Self::Learned { dim, .. } => dim.unwrap_or(embed_dim),
            Self::Prototype {
                source: PrototypeSource::Image,
            } => input.iter().product(),
            Self::Prototype {
                source: PrototypeSource::RandomFeatures,
            } => embed_dim,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Learned { dim: Some(dim), .. } => {
                ConfigError::at_least("model.class_embedding.dim", *dim, 1, "at least 1")
            }
            _ => Ok(()),
        }
    }

    /// The initial values of W_Embed, `[classes, dim]` row-major. Prototypes are zero until the trainer takes
    /// them from the data.
    pub fn initial_values(&self, classes: usize, dim: usize, seed: u64) -> Vec<f32> {
        let mut noise = NoiseSource::new(seed, Purpose::Initialising, 0);
        match self {
            Self::OneHot => identity(classes),
            Self::Learned {
                init: EmbeddingInit::Random,
                ..
            } => noise.normal(classes * dim),
            Self::Learned {
                init: EmbeddingInit::Orthogonal,
                ..
            } => orthogonal(classes, dim, noise.normal(classes * dim)),
            Self::Prototype { .. } => vec![0.0; classes * dim],
        }
    }

    /// The class embeddings with `values`, `[classes, d]` row-major. They are fixed if one-hot, learned
    /// otherwise.
    pub fn init(&self, values: Vec<f32>, classes: usize, device: &Device) -> ClassEmbedding {
        let dim = values.len() / classes;
        let weight = Tensor::from_data(TensorData::new(values, [classes, dim]), device);
        let weight = Param::from_tensor(weight);
        ClassEmbedding {
            weight: if *self == Self::OneHot {
                weight.set_require_grad(false)
            } else {
                weight
            },
        }
    }
}

/// The estimate of a network, at one latent and one time for each image: its guess of the class and of the class
/// embedding.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// The class logits, `[b, m]`. For a flow they follow from the distance of û to each class embedding.
    pub logits: Tensor<2>,
    /// The estimated class embedding û = softmax(logits)·W_Embed, `[b, d]`. For a flow it is z̃_1 = z + (1 −
    /// t) v.
    pub u_hat: Tensor<2>,
}

/// The class embeddings W_Embed, `[classes, d]`.
#[derive(Module, Debug)]
pub struct ClassEmbedding {
    /// The matrix W_Embed, one row for each class, `[classes, d]`.
    pub weight: Param<Tensor<2>>,
}

impl ClassEmbedding {
    /// The class embeddings u_y `[b, d]` of labels `[b]`.
    pub fn embed(&self, labels: Tensor<1, Int>) -> Tensor<2> {
        self.weight.val().select(0, labels)
    }

    /// The product `weights`·W_Embed `[b, d]` of any `weights` `[b, m]`; it is the velocity of flow matching.
    pub fn combine(&self, weights: Tensor<2>) -> Tensor<2> {
        weights.matmul(self.weight.val())
    }

    /// The class logits `[b, m]` of points `z` `[b, d]` by distance: −‖z − u_y‖²/(2σ²) up to a constant of
    /// each row, which is the radial p̂(y|z) of eq. 16 with equal priors. The nearest class embedding has the
    /// largest logit.
    pub fn nearness(&self, z: Tensor<2>) -> Tensor<2> {
        // The paper does not give σ. It changes the probabilities, but not which of them is largest.
        const SIGMA: f64 = 0.3;
        let w = self.weight.val();
        let norms = w.clone().square().sum_dim(1).transpose();
        // ‖z‖² is equal for all classes, so softmax does not depend on it.
        (z.matmul(w.transpose()) - norms.mul_scalar(0.5)).mul_scalar(1.0 / (SIGMA * SIGMA))
    }

    /// The part `[b, m]` of the optimal logits that latents `z` `[b, d]` decide,
    /// log q(z|y) = √ᾱ z·u_y/(1−ᾱ) − SNR ‖u_y‖²/2 up to a constant of each row, at the noise process `now`
    /// (fields `[b, 1]` or `[1, 1]`).
    ///
    /// Given the label, z does not depend on the image. So Bayes' rule gives the optimal denoiser in closed
    /// form: logits*(x, z, t) = log p(y|x) + log q(z|y). A network with this term as a skip connection has to
    /// learn log p(y|x) only.
    pub fn latent_logits(&self, z: Tensor<2>, now: &SchedulePoint) -> Tensor<2> {
        let w = self.weight.val();
        let norms = w.clone().square().sum_dim(1).transpose();
        let scale = now.alpha_bar.clone().sqrt() / now.sigma_squared.clone();
        let snr = now.alpha_bar.clone() / now.sigma_squared.clone();
        scale * z.matmul(w.transpose()) - snr.mul_scalar(0.5) * norms
    }

    /// The estimate û = softmax(logits)·W_Embed `[b, d]`, a convex combination of class embeddings, of `logits`
    /// `[b, m]`.
    pub fn expectation(&self, logits: Tensor<2>) -> Tensor<2> {
        softmax(logits, 1).matmul(self.weight.val())
    }

    /// The estimate with class `logits` `[b, m]`.
    pub fn estimate(&self, logits: Tensor<2>) -> Estimate {
        Estimate {
            u_hat: self.expectation(logits.clone()),
            logits,
        }
    }

    /// These class embeddings with other `values`, `[classes, d]` row-major.
    pub fn set(self, values: Vec<f32>, device: &Device) -> Self {
        let shape = self.weight.dims();
        let weight = self
            .weight
            .map(|_| Tensor::from_data(TensorData::new(values, shape), device));
        Self { weight }
    }
}

fn identity(n: usize) -> Vec<f32> {
    (0..n * n)
        .map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 })
        .collect()
}

/// The matrix `[rows, cols]` that Gram–Schmidt makes from `random` numbers: its rows are orthonormal if cols
/// ≥ rows, its columns otherwise.
fn orthogonal(rows: usize, cols: usize, random: Vec<f32>) -> Vec<f32> {
    let (count, length) = (rows.min(cols), rows.max(cols));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    for chunk in random.chunks(length).take(count) {
        let mut vector: Vec<f64> = chunk.iter().map(|&v| f64::from(v)).collect();
        // Twice: one pass loses orthogonality when a vector is nearly dependent.
        for _ in 0..2 {
            for unit in &basis {
                let dot: f64 = vector.iter().zip(unit).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(unit).for_each(|(a, b)| *a -= dot * b);
            }
        }
        let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        basis.push(vector.into_iter().map(|v| v / norm).collect());
    }
    let at = |r: usize, c: usize| {
        if cols >= rows {
            basis[r][c]
        } else {
            basis[c][r]
        }
    };
    (0..rows * cols)
        .map(|i| at(i / cols, i % cols) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthogonal_rows_or_columns_are_orthonormal() {
        for (rows, cols) in [(10, 20), (20, 10), (7, 7)] {
            let w = orthogonal(
                rows,
                cols,
                NoiseSource::new(1, Purpose::Initialising, 0).normal(rows * cols),
            );
            let (n, len) = (rows.min(cols), rows.max(cols));
            let at = |i: usize, k: usize| {
                if cols >= rows {
                    w[i * cols + k]
                } else {
                    w[k * cols + i]
                }
            };
            for i in 0..n {
                for j in 0..n {
                    let dot: f32 = (0..len).map(|k| at(i, k) * at(j, k)).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    // f32 rounding of at most 20 products.
                    assert!(
                        (dot - expected).abs() < 1e-5,
                        "{rows}x{cols}: <{i},{j}> = {dot}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_hot_is_fixed_and_embeds_labels() {
        let device = Device::flex().autodiff();
        let embedding = ClassEmbeddingConfig::OneHot.init(identity(3), 3, &device);
        assert!(!embedding.weight.is_require_grad());
        let labels = Tensor::<1, Int>::from_data([2, 0], &device);
        let u = embedding.embed(labels).into_data();
        assert_eq!(
            u.try_to_vec::<f32>().unwrap(),
            [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
        );
    }
}
