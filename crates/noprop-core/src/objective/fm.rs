//! NoProp-FM (paper eq. 10–13, algorithm 3):
//!
//! L = ‖v_θ(z_t, x, t) − (u_y − z_0)‖² − log p̂_out(y | z̃_1),
//! z_t ~ N(t u_y + (1−t) z_0, σ² I),  z̃_1 = z_t + (1−t) v_θ,  t ~ U[0,1], z_0 ~ N(0, I).
//!
//! The second term, the anchor, keeps learned embeddings from collapsing to one point; fixed ones
//! cannot, and have no output head. ‖·‖² sums over the d coordinates.

use burn::tensor::Tensor;

use super::{Batch, Loss, cross_entropy};
use crate::model::NoProp;
use crate::schedule::FlowSchedule;

pub(super) fn loss(model: &NoProp, path: &FlowSchedule, batch: Batch, anchor: f64) -> Loss {
    let Batch {
        images,
        labels,
        draws,
        mut dropout,
        ..
    } = batch;
    let (t, z_0) = (draws.t, draws.noise);
    let u_y = model.class_embedding.embed(labels.clone());
    let z_t = path.interpolate(u_y.clone(), z_0.clone(), draws.noise_1, t.clone());
    let features = model.train_features(images, &mut dropout);
    let velocity = model.velocity(&features, z_t.clone(), t.clone());
    let flow = (velocity.clone() - (u_y - z_0)).square().sum_dim(1).mean();

    let ce = match &model.output_head {
        Some(head) => {
            let end = z_t + (t.neg().add_scalar(1.0)) * velocity;
            cross_entropy(head.forward(end), labels).mul_scalar(anchor)
        }
        None => Tensor::zeros([1], &flow.device()),
    };
    let kl = Tensor::zeros([1], &flow.device());
    Loss::new(ce, kl, flow)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::ObjectiveConfig;
    use super::super::tests::{BATCH, CLASSES, batch, config, negative_log_softmax, rows, scalar};
    use super::*;
    use crate::config::{HeadConfig, ModelConfig, Readout};
    use crate::embedding::ClassEmbeddingConfig;
    use crate::schedule::ScheduleConfig;

    fn flow(full_rank: bool) -> ModelConfig {
        ModelConfig {
            head: HeadConfig {
                full_rank,
                ..config().head
            },
            schedule: ScheduleConfig::Flow { sigma: 0.1 },
            readout: Readout::Nearest,
            ..config()
        }
    }

    /// Both terms in f64 on the host, from what the network says.
    #[test]
    fn terms_are_those_of_algorithm_3() {
        for full_rank in [false, true] {
            check_terms(&flow(full_rank));
        }
    }

    fn check_terms(config: &ModelConfig) {
        let device = Device::flex();
        let model = NoProp::new(config, 2, &device).unwrap();
        let batch = batch(config, &device);
        let loss = ObjectiveConfig::Fm { anchor: 0.5 }.loss(&model, batch.clone());

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
        let v = rows(&model.velocity(&features, latents(flat), batch.draws.t.clone()));
        let ends: Vec<f32> = (0..BATCH * 4)
            .map(|k| (z_t[k / 4][k % 4] + (1.0 - t[k / 4][0]) * v[k / 4][k % 4]) as f32)
            .collect();
        let head = model.output_head.as_ref().expect("embeddings are learned");
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

    /// How far a velocity leaves the span of three embeddings in four dimensions.
    fn out_of_span(full_rank: bool) -> f64 {
        let device = Device::flex();
        let model = NoProp::new(&flow(full_rank), 2, &device).unwrap();
        let batch = batch(&flow(full_rank), &device);
        let features = model.features(batch.images);
        let v = rows(&model.velocity(&features, batch.draws.noise, batch.draws.t));
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
            ..flow(false)
        };
        let device = Device::flex();
        let model = NoProp::new(&config, 2, &device).unwrap();
        assert!(model.output_head.is_none());
        let loss = ObjectiveConfig::Fm { anchor: 1.0 }.loss(&model, batch(&config, &device));
        assert_eq!(scalar(&loss.ce), 0.0);
        assert_eq!(scalar(&loss.total), scalar(&loss.denoise));
    }

    #[test]
    fn half_a_flow_is_refused() {
        let fm = ObjectiveConfig::Fm { anchor: 1.0 };
        assert!(fm.validate(&flow(false)).is_ok());
        assert!(fm.validate(&config()).is_err());
        assert!(ObjectiveConfig::default().validate(&flow(false)).is_err());
        let unread = ModelConfig {
            readout: Readout::Linear,
            ..flow(false)
        };
        assert!(
            fm.validate(&unread)
                .unwrap_err()
                .to_string()
                .contains("nearest")
        );
    }
}
