//! Random changes of training images, as tensor operations on the device that holds them.
//!
//! The host draws a few uniform deviates for each image and decides from them how the image changes
//! ([`Draw`]), so that all devices make equal images and a resumed run repeats them. Crop, flip, rotation
//! and translation are one gather: for each pixel of the result the nearest pixel of the image is looked
//! up, and a place outside of the image gives 0 (black, before normalisation) or is mirrored. With a change of scale
//! or a shear, four pixels are looked up and weighted (bilinear interpolation). The order is torchvision's for the
//! reference's transforms: crop, flip, shear, scale, rotation, then translation and cutout.

mod flip;
mod moves;

use core::ops::Range;

use burn::nn::PaddingConfig2d;
use burn::nn::pool::MaxPool2dConfig;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

pub use flip::Flip;
pub(crate) use moves::move_pixels;

/// The random changes of training images; none by default. Part of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Number of black pixels added on each side before a crop of the original size at a random place.
    pub crop_padding: usize,
    /// Whether left and right are swapped. In a recipe `false` (the default), `true` or `"random"`, or
    /// `"alternating"`.
    pub flip: Flip,
    /// Largest angle of a rotation about the centre, either way, in degrees.
    pub rotation: f32,
    /// Largest shift along each axis, in either direction, in pixels.
    pub translation: usize,
    /// Side in pixels of a square that is set to the mean of the normalised pixels, 0. Its middle is in
    /// the image; the rest may be outside (DeVries and Taylor 2017, arXiv:1708.04552).
    pub cutout: usize,
    /// The pixels that a crop, a rotation or a translation takes from outside of the image.
    pub fill: Fill,
    /// Largest change of the size, either way, as a share: with 0.1 the image becomes up to 10 % larger or smaller.
    pub scale: f32,
    /// Largest angle of a shear along the rows, either way, in degrees.
    pub shear: f32,
    /// Largest share of thicker or thinner strokes, from 0 to 1. For light strokes on a dark ground; a pixel becomes
    /// a mean of itself and of the largest (or smallest) of the 3×3 pixels around it.
    pub stroke: f32,
}

/// The pixels outside of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// Black: 0 before normalisation.
    #[default]
    Zero,
    /// The image mirrored at its outermost pixels, which are not repeated.
    Reflect,
}

impl AugmentConfig {
    /// Whether images stay as they are.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    fn moves(&self) -> bool {
        self.crop_padding > 0
            || self.flip != Flip::Off
            || self.rotation > 0.0
            || self.translation > 0
            || self.interpolates()
    }

    /// Whether pixels of the result are between pixels of the image, and not at the nearest one.
    fn interpolates(&self) -> bool {
        self.scale > 0.0 || self.shear > 0.0
    }
}

/// Number of uniform deviates drawn for each image, whatever is configured, so that turning one change
/// on or off does not alter the others.
pub const UNIFORMS: usize = FIRST + MORE;
/// The deviates of crop, flip, rotation, translation and cutout. Those of all images come first.
const FIRST: usize = 8;
/// The deviates of scale, shear and stroke, and one that is not used.
const MORE: usize = 4;

/// The changes of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Offset of the crop from the image in rows and columns, each −`crop_padding` … `crop_padding`.
    pub crop: [f32; 2],
    /// Whether left and right are swapped.
    pub flip: bool,
    /// Angle of the rotation, counter-clockwise, in radians.
    pub angle: f32,
    /// Shift down and to the right, in pixels.
    pub translation: [f32; 2],
    /// Row and column of the middle of the cutout.
    pub cutout: [f32; 2],
    /// The factor of the size.
    pub scale: f32,
    /// The tangent of the angle of the shear: the shift of a row to the right for each row that it is below the
    /// middle.
    pub shear: f32,
    /// The share of thicker strokes, or of thinner ones if it is negative.
    pub stroke: f32,
}

impl Draw {
    /// The changes of an image of `[height, width]` that follow from uniform deviates in \[0, 1\).
    fn new(
        config: &AugmentConfig,
        [height, width]: [usize; 2],
        u: &[f32; FIRST],
        more: &[f32; MORE],
    ) -> Self {
        // A whole number of 0 … n − 1. In f64, so that no deviate rounds up to n.
        let whole = |u: f32, n: usize| (f64::from(u) * n as f64).floor() as f32;
        let either_way = |u: f32, limit: usize| whole(u, 2 * limit + 1) - limit as f32;
        Self {
            crop: [
                either_way(u[0], config.crop_padding),
                either_way(u[1], config.crop_padding),
            ],
            flip: config.flip != Flip::Off && u[2] < 0.5,
            angle: ((2.0 * u[3] - 1.0) * config.rotation).to_radians(),
            translation: [
                either_way(u[4], config.translation),
                either_way(u[5], config.translation),
            ],
            cutout: [whole(u[6], height), whole(u[7], width)],
            scale: 1.0 + (2.0 * more[0] - 1.0) * config.scale,
            shear: ((2.0 * more[1] - 1.0) * config.shear).to_radians().tan(),
            stroke: (2.0 * more[2] - 1.0) * config.stroke,
        }
    }
}

/// The changes of the images of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Draws {
    config: AugmentConfig,
    of_images: Vec<Draw>,
}

impl Draws {
    /// The changes of images of `[height, width]`, one image for every [`UNIFORMS`] deviates in
    /// `uniforms`.
    #[must_use]
    pub fn new(config: AugmentConfig, size: [usize; 2], uniforms: &[f32]) -> Self {
        let count = uniforms.len() / UNIFORMS;
        let (first, more) = uniforms.split_at(count * FIRST);
        let (first, _) = first.as_chunks::<FIRST>();
        let (more, _) = more.as_chunks::<MORE>();
        let deviates = first.iter().zip(more);
        let of_images = deviates.map(|(first, more)| Draw::new(&config, size, first, more));
        Self {
            config,
            of_images: of_images.collect(),
        }
    }

    /// These changes in the pass `pass` (from 0) over the training images, of which the batch has those at the
    /// positions `indices`. With [`Flip::Alternating`] each image is flipped in every second pass: whether in the
    /// first depends on its position and on `seed`. Other changes stay as they are.
    #[must_use]
    pub fn in_pass(mut self, seed: u64, pass: usize, indices: &[usize]) -> Self {
        if self.config.flip == Flip::Alternating {
            for (draw, &index) in self.of_images.iter_mut().zip(indices) {
                draw.flip = flip::is_first(seed, index) == pass.is_multiple_of(2);
            }
        }
        self
    }

    /// The changes of each image of the batch, `[b]`.
    #[must_use]
    pub fn of_images(&self) -> &[Draw] {
        &self.of_images
    }

    /// The changes of the images `rows` of the batch.
    ///
    /// # Panics
    /// When a row is beyond the batch.
    #[must_use]
    pub fn rows(&self, rows: Range<usize>) -> Self {
        Self {
            config: self.config,
            of_images: self.of_images[rows].to_vec(),
        }
    }

    /// The value that `value` gives for the changes of each image, `[b, 1]`.
    fn column(&self, value: impl Fn(&Draw) -> f32, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = self.of_images.iter().map(value).collect();
        let rows = values.len();
        Tensor::from_data(TensorData::new(values, [rows, 1]), device)
    }
}

/// Thickens or thins the light strokes of images `[b, c, h, w]`, each by its own draw.
pub(crate) fn change_strokes(images: Tensor<4>, draws: &Draws) -> Tensor<4> {
    if draws.config.stroke == 0.0 {
        return images;
    }
    let device = images.device();
    let share = |sign: f32| {
        let column = draws.column(|draw| (sign * draw.stroke).max(0.0), &device);
        column.unsqueeze_dims::<4>(&[2, 3])
    };
    let pool = MaxPool2dConfig::new([3, 3])
        .with_strides([1, 1])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init();
    let thick = pool.forward(images.clone()) - images.clone();
    let thin = pool.forward(images.clone().neg()) + images.clone();
    images + thick * share(1.0) - thin * share(-1.0)
}

/// Sets a square of each of the normalised images `[b, c, h, w]` to 0, the mean.
pub(crate) fn cut_out(images: Tensor<4>, draws: &Draws) -> Tensor<4> {
    let side = draws.config.cutout as f32;
    if side == 0.0 {
        return images;
    }
    let [b, _, h, w] = images.dims();
    let device = images.device();
    let first = |centre: f32| centre - (side / 2.0).floor();
    // Pixels from `first` to `first + side − 1`, along one axis `[b, n]`.
    let within = |n: usize, first: Tensor<2>| {
        let offset = grid(n, &device) - first;
        offset
            .clone()
            .greater_equal_elem(0.0)
            .bool_and(offset.lower_elem(side))
            .float()
    };
    let rows = within(h, draws.column(|draw| first(draw.cutout[0]), &device));
    let columns = within(w, draws.column(|draw| first(draw.cutout[1]), &device));
    let square = rows.reshape([b, 1, h, 1]) * columns.reshape([b, 1, 1, w]);
    images * (square.neg() + 1.0)
}

/// 0, 1, … n − 1 in a row, `[1, n]`.
fn grid(n: usize, device: &Device) -> Tensor<2> {
    let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, n]), device)
}

#[cfg(test)]
mod more_tests;
#[cfg(test)]
mod tests;
