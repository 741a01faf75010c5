//! The numbers that `noprop check` compares.

use super::{Engine, Failure, JoinedRead, requested};
use noprop_protocol::{CheckNumbers, Walk, WalkNumbers};

/// The number of images that go through the network together.
const BATCH: usize = 250;

impl Engine {
    /// Computes the features of `pixels` `[n, c, h, w]`, and z_1 and the logits of each of `walks`.
    ///
    /// # Errors
    /// When a walk does not suit this model, or the device fails.
    pub async fn check(&self, pixels: &[u8], walks: &[Walk]) -> Result<CheckNumbers, Failure> {
        let mut numbers = CheckNumbers {
            backend: self.backend,
            features: Vec::new(),
            walks: walks.iter().map(|_| WalkNumbers::default()).collect(),
            ms: 0.0,
        };
        for (i, pixels) in pixels.chunks(BATCH * self.image_size()).enumerate() {
            let features = self.features(pixels)?;
            let mut joined = JoinedRead::default();
            joined.add(features.values.clone());
            let [values] = joined.read().await?;
            numbers.features.extend(values);
            for (walk, all) in walks.iter().zip(&mut numbers.walks) {
                let first = i * BATCH;
                let z_1 = self.model().walk(&features, &requested(walk), first);
                let z_1 = z_1.map_err(|e| e.to_string())?;
                let mut joined = JoinedRead::default();
                joined.add(z_1.clone());
                joined.add(self.model().readout(&features, z_1));
                let [latents, logits] = joined.read().await?;
                all.latents.extend(latents);
                all.logits.extend(logits);
            }
        }
        Ok(numbers)
    }
}
