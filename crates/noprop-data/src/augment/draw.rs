//! What happens to each image of a batch.

use core::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use super::AugmentConfig;

/// Uniform deviates that one image takes, whatever is configured, so that one change does not
/// shift the draws of the others.
pub const UNIFORMS: usize = 8;

/// What happens to one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Rows and columns from the image to its crop, each −`crop_padding` … `crop_padding`.
    pub crop: [f32; 2],
    /// Whether left and right are swapped.
    pub flip: bool,
    /// Counter-clockwise, in radians.
    pub angle: f32,
    /// Shift down and to the right, in pixels.
    pub translation: [f32; 2],
    /// Row and column of the middle of the cutout.
    pub cutout: [f32; 2],
}

impl Draw {
    /// The draw for an image of `[height, width]` from uniform deviates in \[0, 1\).
    #[must_use]
    pub fn new(config: &AugmentConfig, [height, width]: [usize; 2], u: &[f32; UNIFORMS]) -> Self {
        // A whole number of 0 … n − 1. In f64, so that no deviate rounds up to n.
        let whole = |u: f32, n: usize| (f64::from(u) * n as f64).floor() as f32;
        let either_way = |u: f32, limit: usize| whole(u, 2 * limit + 1) - limit as f32;
        Self {
            crop: [
                either_way(u[0], config.crop_padding),
                either_way(u[1], config.crop_padding),
            ],
            flip: config.flip && u[2] < 0.5,
            angle: ((2.0 * u[3] - 1.0) * config.rotation).to_radians(),
            translation: [
                either_way(u[4], config.translation),
                either_way(u[5], config.translation),
            ],
            cutout: [whole(u[6], height), whole(u[7], width)],
        }
    }
}

/// The draws of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Draws {
    pub(super) config: AugmentConfig,
    of_images: Vec<Draw>,
}

impl Draws {
    /// Draws for images of `[height, width]`, one for every [`UNIFORMS`] of `uniforms`.
    #[must_use]
    pub fn new(config: AugmentConfig, size: [usize; 2], uniforms: &[f32]) -> Self {
        let (uniforms, _) = uniforms.as_chunks::<UNIFORMS>();
        let of_images = uniforms.iter().map(|u| Draw::new(&config, size, u));
        Self {
            config,
            of_images: of_images.collect(),
        }
    }

    /// One for each image of the batch.
    #[must_use]
    pub fn of_images(&self) -> &[Draw] {
        &self.of_images
    }

    /// Those of some images of the batch.
    ///
    /// # Panics
    /// As slices do, when the rows are not all there.
    #[must_use]
    pub fn rows(&self, rows: Range<usize>) -> Self {
        Self {
            config: self.config,
            of_images: self.of_images[rows].to_vec(),
        }
    }

    /// One value of each draw, `[b, 1]`.
    pub(super) fn column(&self, value: impl Fn(&Draw) -> f32, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = self.of_images.iter().map(value).collect();
        let rows = values.len();
        Tensor::from_data(TensorData::new(values, [rows, 1]), device)
    }
}
