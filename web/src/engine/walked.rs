//! The walk itself: by the model's tensor operations on any device, or fused into one dispatch
//! where the fused solver was opened.

use burn::tensor::Tensor;
use noprop_core::{Features, NoProp};

use super::{Engine, Failure, sampling};
use crate::protocol::Walk;

/// A walk, and what reads it on the device where it is.
pub struct Walked {
    /// The model.
    pub model: NoProp,
    /// One row for each image.
    pub features: Features,
    /// `[samples, states, d]`: z_0 … z_1, or z_1 alone.
    pub latents: Tensor<3>,
}

impl Engine {
    /// Walks each image of `features` from `seeds` noise samples, image `first` of the walk's seed
    /// and those after it. Records all T + 1 states, or the last.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn walk(
        &mut self,
        features: &Features,
        walk: &Walk,
        first: usize,
        seeds: usize,
        record: bool,
    ) -> Result<Walked, Failure> {
        #[cfg(feature = "gpu")]
        if let Some(fused) = &mut self.fused
            && fused.solves(walk.sampler)
        {
            return fused.walk(features, walk, first, seeds, record).await;
        }
        let sampling = sampling(walk);
        let cloud = features.repeat(seeds);
        let z_0 = sampling
            .initial(&self.model, first, cloud.len())
            .mul_scalar(walk.temperature);
        let mut latents = vec![z_0.clone()];
        let z_1 = sampling.run_from(&self.model, &cloud, z_0, first, &mut |_, z| {
            if record {
                latents.push(z.clone());
            }
        });
        if !record {
            latents = vec![z_1];
        }
        Ok(Walked {
            model: self.model.clone(),
            features: features.clone(),
            latents: Tensor::stack(latents, 1),
        })
    }
}
