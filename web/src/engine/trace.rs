//! One image, S noise seeds, T steps.

use burn::tensor::activation::softmax;
use noprop_core::predicted_class;

use super::walked::{Start, Walked};
use super::{Engine, Failure, Parts, belief};
use noprop_protocol::{Walk, Walked as Trace};

impl Engine {
    /// Walks `pixels` `[c, h, w]` from the noise of `seeds` images to labels. Times are left to
    /// the caller, who has a clock.
    ///
    /// # Errors
    /// When the image is none, or the device fails.
    pub async fn trace(
        &mut self,
        id: u32,
        pixels: &[u8],
        walk: &Walk,
        seeds: u32,
    ) -> Result<Trace, Failure> {
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
        let Walked {
            model,
            features,
            latents: all,
        } = walked;
        let [_, states, d] = all.dims();
        let main = all.clone().narrow(0, 0, 1).reshape([states, d]);
        let z_1 = all.clone().narrow(1, states - 1, 1).reshape([seeds, d]);
        let times = walk
            .sampler
            .times(&model.schedule, states - 1, &main.device());
        let point = model.schedule.at(times.clone());

        let mut parts = Parts::default();
        parts.add(all);
        parts.add(softmax(
            model.readout(&features.repeat(states), main.clone()),
            1,
        ));
        parts.add(belief::along(&model, &features, main, times.clone()));
        parts.add(model.readout(&features.repeat(seeds), z_1));
        parts.add(times);
        parts.add(point.alpha_bar);
        parts.add(point.log_snr);
        let [
            latents,
            probabilities,
            beliefs,
            logits,
            times,
            alpha_bar,
            log_snr,
        ] = parts.read().await?;
        let classes = self.card.classes.len();
        Ok(Trace {
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
