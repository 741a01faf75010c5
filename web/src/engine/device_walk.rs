//! The walk itself: by the model's tensor operations on any device, or fused into one dispatch
//! where the fused solver was opened.

use burn::tensor::Tensor;
use noprop_core::{Features, NoProp};

use super::{Engine, Failure, asked};
use noprop_protocol::Walk;

/// A walk, and what reads it on the device where it is.
pub struct DeviceWalk {
    /// The model.
    pub model: NoProp,
    /// One row for each image.
    pub features: Features,
    /// `[samples, states, d]`: z_0 … z_1, or z_1 alone.
    pub latents: Tensor<3>,
}

/// What to walk.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// One row for each image.
    pub features: &'a Features,
    /// Sampler, T, seed and temperature.
    pub walk: &'a Walk,
    /// Noise image of the first sample; the others follow it.
    pub first: usize,
    /// Noise samples for each image.
    pub seeds: usize,
    /// Whether to keep all T + 1 states, or z_1 alone.
    pub record: bool,
}

impl Engine {
    /// Walks each image of `start` from its noise to its label.
    ///
    /// # Errors
    /// When the sampler does not walk this model, or the device fails.
    pub async fn walk(&mut self, start: Start<'_>) -> Result<DeviceWalk, Failure> {
        let walk = asked(start.walk);
        let method = self.model().method();
        method.check_walk(&walk).map_err(|e| e.to_string())?;
        #[cfg(feature = "gpu")]
        if let Some(fused) = &mut self.fused
            && fused::solves(start.walk.sampler)
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
