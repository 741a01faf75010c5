//! NoProp-FM, flow matching. Its loss is (paper eq. 10–13, algorithm 3):
//!
//! L = ‖v_θ(z_t, x, t) − (u_y − z_0)‖² − log p̂_out(y | z̃_1),
//! z_t ~ N(t u_y + (1−t) z_0, σ² I),  z̃_1 = z_t + (1−t) v_θ,  t ~ U[0,1], z_0 ~ N(0, I).
//!
//! The second term, the anchor, keeps learned class embeddings from collapsing to one point. Fixed embeddings
//! cannot collapse, so they need neither anchor nor output head. ‖·‖² sums over the d coordinates.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Loss, cross_entropy};
use super::initialisation::Initialisation;
use super::one;
use crate::embedding::{ClassEmbedding, ClassEmbeddingConfig};
use crate::error::ConfigError;
use crate::network::{FlowField, Shared, inner_product_head};
use crate::noise::initialised;
use crate::schedule::FlowPath;

/// The settings of NoProp-FM. Its readout takes the class embedding nearest to z_1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fm {
    /// The standard deviation σ around the straight path. The paper does not give it; 0 is conditional
    /// optimal transport.
    #[serde(default)]
    pub sigma: f64,
    /// The weight of the cross-entropy at z̃_1, which is used if the class embeddings are learned; 1 in the
    /// paper.
    #[serde(default = "one")]
    pub anchor: f64,
    /// Whether the last layer gives the velocity itself, d numbers. If false, as in the paper, it gives m
    /// weights of the class embeddings. Such velocities lie in the span of the class embeddings, at most m
    /// dimensions, and the part of z_0 outside of that span stays as it is.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub full_rank: bool,
}

impl Default for Fm {
    fn default() -> Self {
        Self {
            sigma: 0.0,
            anchor: 1.0,
            full_rank: false,
        }
    }
}

impl Fm {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::positive("method.anchor", self.anchor)?;
        if self.sigma.is_finite() && self.sigma >= 0.0 {
            return Ok(());
        }
        Err(ConfigError::value(
            "method.sigma",
            self.sigma,
            "zero or a positive number",
        ))
    }
}

/// The parts of a NoProp-FM network.
#[derive(Module, Debug)]
pub struct FmParts {
    /// The backbone and the denoiser, whose output is a velocity.
    pub network: Shared,
    /// The path from z_0 to u_y.
    pub path: FlowPath,
    /// The output head of the anchor; fixed class embeddings have none.
    pub output_head: Option<Linear>,
    #[module(skip)]
    settings: Fm,
}

impl FmParts {
    pub(super) fn new(settings: &Fm, start: Initialisation<'_>) -> Self {
        let Initialisation {
            config,
            embeddings,
            seed,
            device,
        } = start;
        let outputs = match settings.full_rank {
            true => config.latent_dim(),
            false => config.classes,
        };
        let is_learned = config.class_embedding != ClassEmbeddingConfig::OneHot;
        initialised(device, seed, || Self {
            network: Shared::new(config, outputs, device),
            path: FlowPath {
                sigma: settings.sigma,
            },
            output_head: is_learned
                .then(|| inner_product_head(embeddings, config.classes, 1.0, device)),
            settings: settings.clone(),
        })
    }

    /// The velocity field v_θ.
    pub(super) fn field<'a>(&'a self, class_embedding: &'a ClassEmbedding) -> FlowField<'a> {
        FlowField {
            shared: &self.network,
            class_embedding,
            full_rank: self.settings.full_rank,
        }
    }

    /// The loss of algorithm 3 for `batch`.
    pub(super) fn loss(&self, class_embedding: &ClassEmbedding, batch: Batch) -> Loss {
        let Batch {
            images,
            labels,
            draws,
            mut dropout,
            ..
        } = batch;
        let (t, z_0) = (draws.t, draws.noise);
        let u_y = class_embedding.embed(labels.clone());
        let path = &self.path;
        let z_t = path.interpolate(u_y.clone(), z_0.clone(), draws.noise_1, t.clone());
        let features = self.network.features(images, &mut dropout);
        let field = self.field(class_embedding);
        let velocity = field.velocity(&features, z_t.clone(), t.clone());
        let flow = (velocity.clone() - (u_y - z_0)).square().sum_dim(1).mean();

        let zero = Tensor::zeros([1], &flow.device());
        let ce = match &self.output_head {
            Some(head) => {
                let end = z_t + (t.neg().add_scalar(1.0)) * velocity;
                cross_entropy(head.forward(end), labels).mul_scalar(self.settings.anchor)
            }
            None => zero.clone(),
        };
        Loss::new(ce, zero, flow)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::tests::{BATCH, CLASSES, batch, config, negative_log_softmax, rows, scalar};
    use super::super::{Method, Parts};
    use super::*;
    use crate::config::ModelConfig;
    use crate::model::NoProp;

    fn flow(config: &ModelConfig, full_rank: bool) -> NoProp {
        let method = Method::Fm(Fm {
            sigma: 0.1,
            anchor: 0.5,
            full_rank,
        });
        NoProp::new(&method, config, 2, &Device::flex()).unwrap()
    }

    fn parts(model: &NoProp) -> &FmParts {
        match &model.parts {
            Parts::Fm(parts) => parts,
            other => panic!("not flow matching: {other:?}"),
        }
    }

    /// Both terms in f64 on the host, from the output of the network.
    #[test]
    fn terms_are_those_of_algorithm_3() {
        for full_rank in [false, true] {
            check_terms(&flow(&config(), full_rank));
        }
    }

    fn check_terms(model: &NoProp) {
        let device = Device::flex();
        let batch = batch(model.config(), &device);
        let loss = model.loss(batch.clone());

        let w = rows(&model.class_embedding.weight.val());
        let (z_0, noise) = (rows(&batch.draws.noise), rows(&batch.draws.noise_1));
        let t = rows(&batch.draws.t);
        let z_t: Vec<Vec<f64>> = (0..BATCH)
            .map(|i| {
                let (t, u) = (t[i][0], &w[i % CLASSES]);
                let at = |j: usize| t * u[j] + (1.0 - t) * z_0[i][j] + 0.1 * noise[i][j];
                (0..4).map(at).collect()
            })
            .collect();
        let flat: Vec<f32> = z_t.iter().flatten().map(|&z| z as f32).collect();
        let latents = |values| {
            Tensor::<2>::from_data(burn::tensor::TensorData::new(values, [BATCH, 4]), &device)
        };
        let features = model.features(batch.images.clone());
        let field = parts(model).field(&model.class_embedding);
        let v = rows(&field.velocity(&features, latents(flat), batch.draws.t.clone()));
        let ends: Vec<f32> = (0..BATCH * 4)
            .map(|k| (z_t[k / 4][k % 4] + (1.0 - t[k / 4][0]) * v[k / 4][k % 4]) as f32)
            .collect();
        let head = parts(model)
            .output_head
            .as_ref()
            .expect("embeddings are learned");
        let logits = rows(&head.forward(latents(ends)));

        let (mut ce, mut flow) = (0.0, 0.0);
        for i in 0..BATCH {
            let u = &w[i % CLASSES];
            let error: f64 = (0..4).map(|j| (v[i][j] - (u[j] - z_0[i][j])).powi(2)).sum();
            flow += error / BATCH as f64;
            ce += 0.5 * negative_log_softmax(&logits[i], i % CLASSES) / BATCH as f64;
        }
        // f32 networks against f64 sums: about ten roundings of numbers of order 1 to 10.
        assert!(
            (scalar(&loss.ce) - ce).abs() < 1e-5,
            "{} {ce}",
            scalar(&loss.ce)
        );
        assert!((scalar(&loss.denoise) / flow - 1.0).abs() < 1e-5);
        assert!((scalar(&loss.total) - ce - flow).abs() < 1e-4);
        assert_eq!(scalar(&loss.kl), 0.0);
    }

    /// The largest component of a velocity outside of the span of three class embeddings in four dimensions.
    fn out_of_span(full_rank: bool) -> f64 {
        let device = Device::flex();
        let model = flow(&config(), full_rank);
        let batch = batch(&config(), &device);
        let features = model.features(batch.images);
        let field = parts(&model).field(&model.class_embedding);
        let v = rows(&field.velocity(&features, batch.draws.noise, batch.draws.t));
        // Gram–Schmidt.
        let mut basis: Vec<Vec<f64>> = Vec::new();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let without = |mut x: Vec<f64>, basis: &[Vec<f64>]| {
            for e in basis {
                let share = dot(&x, e);
                x.iter_mut().zip(e).for_each(|(x, e)| *x -= share * e);
            }
            x
        };
        for row in rows(&model.class_embedding.weight.val()) {
            let rest = without(row, &basis);
            let norm = dot(&rest, &rest).sqrt();
            basis.push(rest.iter().map(|x| x / norm).collect());
        }
        let rests = v.into_iter().map(|v| without(v, &basis));
        rests
            .map(|rest| dot(&rest, &rest).sqrt())
            .fold(0.0, f64::max)
    }

    #[test]
    fn only_a_velocity_of_full_rank_leaves_the_span_of_the_embeddings() {
        // f32 sums of four products; a head's outputs are of order 0.1.
        assert!(out_of_span(false) < 1e-5);
        assert!(out_of_span(true) > 1e-3);
    }

    #[test]
    fn fixed_embeddings_need_no_anchor() {
        let config = ModelConfig {
            class_embedding: ClassEmbeddingConfig::OneHot,
            ..config()
        };
        let model = flow(&config, false);
        assert!(parts(&model).output_head.is_none());
        let loss = model.loss(batch(&config, &Device::flex()));
        assert_eq!(scalar(&loss.ce), 0.0);
        assert_eq!(scalar(&loss.total), scalar(&loss.denoise));
    }
}
