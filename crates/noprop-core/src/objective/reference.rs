//! The loss of yhgon/NoProp (`nopropct_mnist.py`, `noprop_simple.py`), kept as it is:
//!
//! * z_t = ᾱ u + √(1−ᾱ) ε, where the paper has √ᾱ u;
//! * KL = ½ ‖u‖², where the closed form has ½[ᾱ₀(‖u‖² − d) − d ln(1−ᾱ₀)];
//! * the cross-entropy is of the whole denoiser at (x, z_1, t = 1), not of a head on z_1.
//!
//! One thing differs: the reference runs the backbone twice on the same batch. Outputs and
//! gradients are the same when it runs once, as here; BatchNorm's running averages then move
//! once per step, not twice.

use burn::tensor::Tensor;

use super::{Batch, Loss, cross_entropy};
use crate::model::NoProp;
use crate::schedule::SchedulePoint;

pub(super) fn loss(model: &NoProp, batch: Batch, eta: f64) -> Loss {
    let Batch {
        images,
        labels,
        draws,
        mut dropout,
        ..
    } = batch;
    let u_y = model.class_embedding.embed(labels.clone());
    let features = model.train_features(images, &mut dropout);

    let now = model.schedule.at(draws.t.clone());
    let z_t = diffuse(&now, u_y.clone(), draws.noise);
    let estimate = model.denoise(&features, z_t, draws.t.clone());
    let error = (estimate.u_hat - u_y.clone()).square().sum_dim(1);
    let denoise = (now.snr_prime * error).mean().mul_scalar(0.5 * eta);

    let one = draws.t.ones_like();
    let end = model.schedule.at(one.clone());
    let z_1 = diffuse(&end, u_y.clone(), draws.noise_1);
    let ce = cross_entropy(model.denoise(&features, z_1, one).logits, labels);

    let kl = u_y.square().sum_dim(1).mean().mul_scalar(0.5);
    Loss::new(ce, kl, denoise)
}

fn diffuse(point: &SchedulePoint, u: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    point.alpha_bar.clone() * u + point.sigma_squared.clone().sqrt() * noise
}
