//! The velocity field of the probability-flow ODE, or of the flow, in a plane of latent space.

use burn::tensor::{Tensor, TensorData};
use noprop_core::predicted_class;

use super::{Engine, Failure, JoinedRead};
use noprop_protocol::Field;

/// The largest number of points of one request.
const MOST: usize = 4096;

/// Points in a plane of latent space.
pub struct Plane<'a> {
    /// The axes of the plane, orthonormal columns of `[d, 2]`.
    pub axes: &'a [f32],
    /// The point of latent space at the origin of the plane, `[d]`.
    pub origin: &'a [f32],
    /// The coordinates of the points in the plane, `[n, 2]`.
    pub points: &'a [f32],
}

impl Engine {
    /// Computes dz/dλ (dz/dt for flow matching) at time `t` at the points of `plane`, for the image `pixels`
    /// `[c, h, w]`.
    ///
    /// # Errors
    /// When the shapes do not fit the model, or the device fails.
    pub async fn field(
        &mut self,
        id: u32,
        pixels: &[u8],
        t: f32,
        plane: Plane<'_>,
    ) -> Result<Field, Failure> {
        let d = self.model().config().latent_dim();
        let n = plane.points.len() / 2;
        let sound = plane.axes.len() == 2 * d
            && plane.origin.len() == d
            && plane.points.len() == 2 * n
            && (1..=MOST).contains(&n);
        if !sound {
            return Err(format!(
                "a field needs axes [{d}, 2], an origin [{d}] and 1 to {MOST} points [n, 2]; found {}, {} and {} numbers",
                plane.axes.len(),
                plane.origin.len(),
                plane.points.len()
            ));
        }
        let mut z = Vec::with_capacity(n * d);
        for point in plane.points.chunks(2) {
            for (origin, axes) in plane.origin.iter().zip(plane.axes.chunks(2)) {
                z.push(origin + point[0] * axes[0] + point[1] * axes[1]);
            }
        }
        let t = t.clamp(0.0, 1.0);
        let [velocity, scores] = self.estimate(pixels, z, t).await?;
        // The velocity in the coordinates of the plane.
        let velocity = velocity.chunks(d).flat_map(|slope| {
            let along = |k: usize| {
                let axis = plane.axes.iter().skip(k).step_by(2);
                slope.iter().zip(axis).map(|(v, a)| v * a).sum::<f32>()
            };
            [along(0), along(1)]
        });
        let beliefs = scores.chunks(self.classes().len());
        Ok(Field {
            id,
            velocity: velocity.collect(),
            belief: beliefs.map(|row| predicted_class(row) as u32).collect(),
        })
    }

    /// The velocity `[n, d]` and the class scores `[n, m]` (logits or probabilities) for one image at latents
    /// `z` `[n, d]` and time `t`. The fused solver, if it was opened, computes both in one dispatch; otherwise the
    /// tensor operations of the model do.
    async fn estimate(
        &mut self,
        pixels: &[u8],
        z: Vec<f32>,
        t: f32,
    ) -> Result<[Vec<f32>; 2], Failure> {
        let features = self.features_of(pixels)?;
        #[cfg(feature = "gpu")]
        if let Some(fused) = &self.fused {
            return fused.estimate(&features, &z, t).await;
        }
        let d = self.model().config().latent_dim();
        let n = z.len() / d;
        let z = Tensor::<2>::from_data(TensorData::new(z, [n, d]), &self.device);
        let (velocity, estimate) = self.model().velocity(&features.repeat(n), z, t);
        let mut joined = JoinedRead::default();
        joined.add(velocity);
        joined.add(estimate.logits);
        joined.read().await
    }
}
