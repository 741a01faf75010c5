//! Walks of images from noise to labels, by tensor operations on any device or, if it was opened, by the fused solver
//! in one dispatch; and the walks of one image from S noise seeds, which the page shows.

use burn::tensor::Tensor;
use noprop_core::{Features, NoProp, predicted_class};
use noprop_protocol::{Walk, Walked};

use super::{Engine, Failure, JoinedRead, requested};

/// The latents of walks, with the model and the features that read classes off them on the same device.
pub struct DeviceWalk {
    /// The model on the device of the latents.
    pub model: NoProp,
    /// The features, one row for each image.
    pub features: Features,
    /// The latents `[samples, states, d]`: z at t_0 … t_T, or z_1 alone.
    pub latents: Tensor<3>,
}

/// The images to walk, and the settings of their walks.
#[derive(Clone, Copy)]
pub struct WalkInput<'a> {
    /// The features, one row for each image.
    pub features: &'a Features,
    /// The sampler, T, seed and temperature.
    pub walk: &'a Walk,
    /// The index of the noise that the first sample starts from; the other samples follow in order.
    pub first: usize,
    /// The number of samples of each image.
    pub seeds: usize,
    /// Whether to keep all T + 1 states rather than z_1 alone.
    pub record: bool,
}

impl Engine {
    /// Walks each image of `start` from noise to a label.
    ///
    /// # Errors
    /// When the walk does not suit this model, or the device fails.
    pub async fn walk(&mut self, start: WalkInput<'_>) -> Result<DeviceWalk, Failure> {
        let walk = requested(start.walk);
        let method = self.model().method();
        method.check_walk(&walk).map_err(|e| e.to_string())?;
        #[cfg(feature = "gpu")]
        if let Some(fused) = &mut self.fused
            && fused.solves(start.walk.sampler)
        {
            return fused.walk(start).await;
        }
        let cloud = start.features.repeat(start.seeds);
        let model = self.model();
        let z_0 = model.initial_latents(&walk, start.first, cloud.len());
        let mut latents = vec![z_0.clone()];
        let mut observe = |_, z: &Tensor<2>| {
            if start.record {
                latents.push(z.clone());
            }
        };
        let z_1 = model
            .walk_from(&cloud, z_0, &walk, start.first, &mut observe)
            .map_err(|e| e.to_string())?;
        if !start.record {
            latents = vec![z_1];
        }
        Ok(DeviceWalk {
            model: model.clone(),
            features: start.features.clone(),
            latents: Tensor::stack(latents, 1),
        })
    }
}

impl Engine {
    /// Walks the image `pixels` `[c, h, w]` from the noise of `seeds` samples to labels. The fields for
    /// milliseconds stay 0; the caller has a clock and sets them.
    ///
    /// # Errors
    /// When `pixels` are not one image of the model, or the device fails.
    pub async fn walk_image(
        &mut self,
        id: u32,
        pixels: &[u8],
        walk: &Walk,
        seeds: u32,
    ) -> Result<Walked, Failure> {
        let features = self.features_of(pixels)?;
        let seeds = seeds.max(1) as usize;
        let start = WalkInput {
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
        let walk = requested(walk);
        let times = model.times(&walk);
        let (alpha_bar, log_snr) = match model.schedule_at(times.clone()) {
            Some(at) => (Some(at.alpha_bar), Some(at.log_snr)),
            None => (None, None),
        };

        let mut joined = JoinedRead::default();
        joined.add(all);
        joined.add(model.latent_beliefs(&features, main.clone(), &walk));
        joined.add(model.beliefs(&features, main, &walk));
        joined.add(model.readout(&features.repeat(seeds), z_1));
        joined.add(times);
        joined.add_if_any(alpha_bar);
        joined.add_if_any(log_snr);
        let [
            latents,
            probabilities,
            beliefs,
            logits,
            times,
            alpha_bar,
            log_snr,
        ] = joined.read().await?;
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

    /// Runs the backbone on the image `pixels` and waits for the features, so that a later walk of this image need not
    /// compute them.
    ///
    /// # Errors
    /// When `pixels` are not one image of the model, or the device fails.
    pub async fn look(&mut self, pixels: &[u8]) -> Result<(), Failure> {
        let features = self.features_of(pixels)?;
        let mut joined = JoinedRead::default();
        joined.add(features.fused);
        let [_] = joined.read().await?;
        Ok(())
    }
}
