//! Class embeddings W_Embed: the clean end of the denoising process (paper §2.2.1).

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::noise::{NoiseSource, Purpose};

/// Which W_Embed, and how it starts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClassEmbeddingConfig {
    /// The fixed identity: d = m.
    #[default]
    OneHot,
    /// Learned, of dimension d.
    Learned {
        /// Dimension d; the model's `embed_dim` when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dim: Option<usize>,
        /// Initial values.
        #[serde(default)]
        init: EmbeddingInit,
    },
    /// Learned, starting from one training example per class.
    Prototype {
        /// What a prototype is.
        #[serde(default)]
        source: PrototypeSource,
    },
}

/// Initial values of a learned embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmbeddingInit {
    /// Orthonormal rows where d ≥ m, else orthonormal columns.
    #[default]
    Orthogonal,
    /// Independent standard normal entries.
    Random,
}

/// What a class prototype is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrototypeSource {
    /// The image of the class with the smallest median distance to the others: d is the image
    /// size (paper).
    #[default]
    Image,
    /// The features, by the untrained backbone, of the medoid of ten random images
    /// (`noprop_simple.py`): d = `embed_dim`.
    RandomFeatures,
}

impl ClassEmbeddingConfig {
    /// Dimension d of an embedding.
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

    /// Initial values of W_Embed, `[classes, dim]` row-major. Prototypes are zero until the
    /// trainer takes them from the data.
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

    /// W_Embed with `values`, `[classes, d]` row-major; fixed when one-hot, else learned.
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

/// What a network believes at one latent and one time.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// Class logits, `[b, m]`; of a flow those of û by distance.
    pub logits: Tensor<2>,
    /// û = softmax(logits)·W_Embed, `[b, d]`; of a flow z̃_1 = z + (1 − t) v.
    pub u_hat: Tensor<2>,
}

/// W_Embed, `[classes, d]`.
#[derive(Module, Debug)]
pub struct ClassEmbedding {
    /// The embeddings, one row per class, `[classes, d]`.
    pub weight: Param<Tensor<2>>,
}

impl ClassEmbedding {
    /// u_y of each label: `[b]` → `[b, d]`.
    pub fn embed(&self, labels: Tensor<1, Int>) -> Tensor<2> {
        self.weight.val().select(0, labels)
    }

    /// `weights`·W_Embed with unrestricted weights, the velocity of flow matching: `[b, m]` →
    /// `[b, d]`.
    pub fn combine(&self, weights: Tensor<2>) -> Tensor<2> {
        weights.matmul(self.weight.val())
    }

    /// Class logits of points `z` by their distance: −‖z − u_y‖²/(2σ²), the radial p̂(y|z) of eq. 16
    /// with equal priors; `[b, d]` → `[b, m]`. The nearest embedding has the largest.
    pub fn nearness(&self, z: Tensor<2>) -> Tensor<2> {
        // The paper does not give σ; it changes no prediction, only how sure it looks.
        const SIGMA: f64 = 0.3;
        let w = self.weight.val();
        let norms = w.clone().square().sum_dim(1).transpose();
        // ‖z‖² is the same for all classes: softmax does not see it.
        (z.matmul(w.transpose()) - norms.mul_scalar(0.5)).mul_scalar(1.0 / (SIGMA * SIGMA))
    }

    /// û = softmax(logits)·W_Embed, a convex combination of embeddings: `[b, m]` → `[b, d]`.
    pub fn expectation(&self, logits: Tensor<2>) -> Tensor<2> {
        softmax(logits, 1).matmul(self.weight.val())
    }

    /// The estimate that class `logits` `[b, m]` stand for.
    pub fn estimate(&self, logits: Tensor<2>) -> Estimate {
        Estimate {
            u_hat: self.expectation(logits.clone()),
            logits,
        }
    }

    /// Replaces the embeddings, `[classes, d]` row-major.
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

/// Gram–Schmidt on the rows where cols ≥ rows, else on the columns.
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
