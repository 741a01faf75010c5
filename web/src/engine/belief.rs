//! What the network says of a latent, in each of NoProp's variants.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use noprop_core::sampler::velocity;
use noprop_core::schedule::NoiseSchedule;
use noprop_core::{Estimate, Features, NoProp};

/// û and class logits at time `t` for one row of features a row of `z` `[n, d]`: in NoProp-DT those of the
/// block whose step it is.
pub fn estimate(model: &NoProp, features: &Features, z: Tensor<2>, t: f32) -> Estimate {
    match model.blocks.len() {
        0 => {
            let t = Tensor::full([1, 1], t, &z.device());
            model.denoise(features, z, t)
        }
        blocks => {
            let block = (t * blocks as f32) as usize;
            model.denoise_block(features, block.min(blocks - 1), z)
        }
    }
}

/// Where z is carried, and the logits of [`estimate`]: dz/dλ of the probability-flow ODE, or flow matching's dz/dt.
pub fn slope(model: &NoProp, features: &Features, z: Tensor<2>, t: f32) -> (Tensor<2>, Tensor<2>) {
    let Estimate { logits, u_hat } = estimate(model, features, z.clone(), t);
    let time = Tensor::full([1, 1], t, &z.device());
    let slope = match &model.schedule {
        NoiseSchedule::Flow(_) => model.velocity(features, z, time),
        NoiseSchedule::Gated(_) => u_hat - z,
        schedule => velocity(u_hat, z, schedule.at(time).alpha_bar),
    };
    (slope, logits)
}

/// Class probabilities that the denoiser believes in at the states `z` `[T + 1, d]` of a walk of one image,
/// `[T + 1, m]`. After the last block of NoProp-DT there is none to ask, and the output head speaks.
pub fn along(model: &NoProp, features: &Features, z: Tensor<2>, times: Tensor<2>) -> Tensor<2> {
    let states = z.dims()[0];
    let logits = match model.blocks.len() {
        0 => model.denoise(&features.repeat(states), z, times).logits,
        blocks => {
            let row = |k: usize| z.clone().narrow(0, k, 1);
            let of_block = |k| model.denoise_block(features, k, row(k)).logits;
            let mut rows: Vec<Tensor<2>> = (0..blocks.min(states - 1)).map(of_block).collect();
            rows.push(model.readout(features, row(states - 1)));
            Tensor::cat(rows, 0)
        }
    };
    softmax(logits, 1)
}
