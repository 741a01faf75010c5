//! NoProp-CT (paper eq. 9):
//!
//! L = −log p̂_out(y|z_1) + KL(q(z_0|y) ‖ N(0,I)) + ½ η SNR′(t) ‖û_θ(z_t, x, t) − u_y‖²,
//! t ~ U[0,1], z_t ~ q(z_t|y), z_1 ~ q(z_1|y). ‖·‖² sums over the d coordinates.

use burn::tensor::{Tensor, TensorData};

use super::{Batch, Loss, TimeSampling, cross_entropy};
use crate::model::NoProp;
use crate::schedule::kl_to_standard_normal;

pub(super) fn loss(
    model: &NoProp,
    batch: Batch,
    eta: f64,
    max_weight: Option<f64>,
    time_sampling: TimeSampling,
) -> Loss {
    let Batch {
        images,
        labels,
        draws,
        mut dropout,
        ..
    } = batch;
    let device = images.device();
    let u_y = model.class_embedding.embed(labels.clone());
    // The two ends of the process in one evaluation: row 0 is t = 0, row 1 is t = 1.
    let ends = model.schedule.at(Tensor::from_data(
        TensorData::new(vec![0_f32, 1.0], [2, 1]),
        &device,
    ));

    let (t, inverse_density) = match time_sampling {
        TimeSampling::Importance => {
            let (t, rate) = model.schedule.times_at_log_snr(draws.t);
            // How times are drawn is no part of what is minimised.
            (t.detach(), Some(rate.detach()))
        }
        _ => (draws.t, None),
    };
    let now = model.schedule.at(t.clone());
    let z_t = now.diffuse(u_y.clone(), draws.noise);
    let features = model.train_features(images, &mut dropout);
    let estimate = model.denoise(&features, z_t, t);
    let error = (estimate.u_hat - u_y.clone()).square().sum_dim(1);
    let weight = match max_weight {
        Some(limit) => now.snr_prime.clamp_max(limit),
        None => now.snr_prime,
    };
    let weight = match inverse_density {
        Some(factor) => weight * factor,
        None => weight,
    };
    let denoise = (weight * error).mean().mul_scalar(0.5 * eta);

    let signal = ends.alpha_bar.narrow(0, 1, 1).sqrt();
    let sigma = ends.sigma_squared.narrow(0, 1, 1).sqrt();
    let z_1 = signal * u_y.clone() + sigma * draws.noise_1;
    let ce = cross_entropy(model.readout(&features, z_1), labels);

    let kl = kl_to_standard_normal(u_y, ends.log_snr.narrow(0, 0, 1)).mean();
    Loss::new(ce, kl, denoise)
}
