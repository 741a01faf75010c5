//! One image, S noise seeds, T steps.

use burn::tensor::activation::softmax;
use noprop_core::predicted_class;

use super::device_walk::{DeviceWalk, Start};
use super::{Engine, Failure, Parts, asked};
use noprop_protocol::{Walk, Walked};

impl Engine {
    /// Walks `pixels` `[c, h, w]` from the noise of `seeds` images to labels. Times are left to
    /// the caller, who has a clock.
    ///
    /// # Errors
    /// When the image is none, or the device fails.
    pub async fn walk_image(
        &mut self,
        id: u32,
        pixels: &[u8],
        walk: &Walk,
        seeds: u32,
    ) -> Result<Walked, Failure> {
        let features = self.features_of(pixels)?;
        let seeds = seeds.max(1) as usize;
        let start = Start {
            features: &features,
            walk,
            first: 0,
            seeds,
            record: true,
        };
        let walked = self.walk(start).await?;
        let DeviceWalk {
            model,
            features,
            latents: all,
        } = walked;
        let [_, states, d] = all.dims();
        let main = all.clone().narrow(0, 0, 1).reshape([states, d]);
        let z_1 = all.clone().narrow(1, states - 1, 1).reshape([seeds, d]);
        let walk = asked(walk);
        let times = model.times(&walk);
        let (alpha_bar, log_snr) = match model.schedule_at(times.clone()) {
            Some(at) => (Some(at.alpha_bar), Some(at.log_snr)),
            None => (None, None),
        };

        let mut parts = Parts::default();
        parts.add(all);
        parts.add(softmax(
            model.readout(&features.repeat(states), main.clone()),
            1,
        ));
        parts.add(model.beliefs(&features, main, &walk));
        parts.add(model.readout(&features.repeat(seeds), z_1));
        parts.add(times);
        parts.add_if_any(alpha_bar);
        parts.add_if_any(log_snr);
        let [
            latents,
            probabilities,
            beliefs,
            logits,
            times,
            alpha_bar,
            log_snr,
        ] = parts.read().await?;
        let classes = self.classes().len();
        Ok(Walked {
            id,
            latents,
            probabilities,
            beliefs,
            predictions: logits
                .chunks(classes)
                .map(|row| predicted_class(row) as u32)
                .collect(),
            times,
            alpha_bar,
            log_snr,
            features_ms: 0.0,
            walk_ms: 0.0,
        })
    }

    /// Runs the backbone on `pixels` and waits for it, so that a later walk finds the features.
    ///
    /// # Errors
    /// When the image is none, or the device fails.
    pub async fn look(&mut self, pixels: &[u8]) -> Result<(), Failure> {
        let features = self.features_of(pixels)?;
        let mut parts = Parts::default();
        parts.add(features.fused);
        let [_] = parts.read().await?;
        Ok(())
    }
}
