//! Random changes of training images, as tensor operations on the device that holds them.
//!
//! The host draws a few uniform deviates for each image and decides from them how the image changes ([`Draw`]), so that
//! all devices make equal images and a resumed run repeats them. Crop, flip, rotation and translation are one gather:
//! each pixel of the result is the nearest pixel of the image, and a place outside of the image gives 0 (black, before
//! normalisation). The order is torchvision's for the reference's transforms: crop, flip, rotation, then translation
//! and cutout.

use core::ops::Range;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// The random changes of training images; none by default. Part of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Number of black pixels added on each side before a crop of the original size at a random place.
    pub crop_padding: usize,
    /// Whether left and right are swapped, in each image with probability 1/2.
    pub flip: bool,
    /// Largest angle of a rotation about the centre, in either direction, in degrees.
    pub rotation: f32,
    /// Largest shift along each axis, in either direction, in pixels.
    pub translation: usize,
    /// Side in pixels of a square that is set to the mean of the normalised pixels, 0. Its middle is in
    /// the image; the rest may be outside (DeVries and Taylor 2017, arXiv:1708.04552).
    pub cutout: usize,
}

impl AugmentConfig {
    /// Whether images stay as they are.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    fn moves(&self) -> bool {
        self.crop_padding > 0 || self.flip || self.rotation > 0.0 || self.translation > 0
    }
}

/// Number of uniform deviates drawn for each image, whatever is configured, so that turning one change
/// on or off does not alter the others.
pub const UNIFORMS: usize = 8;

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
}

impl Draw {
    /// The changes of an image of `[height, width]` that follow from the uniform deviates `u` in \[0, 1\).
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
        let (uniforms, _) = uniforms.as_chunks::<UNIFORMS>();
        let of_images = uniforms.iter().map(|u| Draw::new(&config, size, u));
        Self {
            config,
            of_images: of_images.collect(),
        }
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

/// Crops, flips, rotates and translates images `[b, c, h, w]`, each by its own draw.
pub(crate) fn move_pixels(images: Tensor<4>, draws: &Draws) -> Tensor<4> {
    let config = draws.config;
    if !config.moves() {
        return images;
    }
    let [b, c, h, w] = images.dims();
    let device = images.device();
    let mut from = Origin::new(h, w, &device);
    // The changes are undone from the result back to the image, so in reverse order.
    if config.translation > 0 {
        from.shift(
            &draws.column(|draw| -draw.translation[0], &device),
            &draws.column(|draw| -draw.translation[1], &device),
        );
    }
    if config.rotation > 0.0 {
        from.rotate(
            &draws.column(|draw| draw.angle.cos(), &device),
            &draws.column(|draw| draw.angle.sin(), &device),
        );
    }
    if config.flip {
        from.flip(&draws.column(|draw| f32::from(u8::from(draw.flip)), &device));
    }
    if config.crop_padding > 0 {
        from.shift(
            &draws.column(|draw| draw.crop[0], &device),
            &draws.column(|draw| draw.crop[1], &device),
        );
    }
    let (index, inside) = from.lookup(b);
    let index = index.unsqueeze_dim::<3>(1).repeat_dim(1, c);
    let moved = images.reshape([b, c, h * w]).gather(2, index);
    let moved = match inside {
        Some(inside) => moved * inside.unsqueeze_dim::<3>(1),
        None => moved,
    };
    moved.reshape([b, c, h, w])
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

/// The place in the image from which each pixel of the result is taken, row-major.
struct Origin {
    /// Row and column of the place, `[1, h·w]` at first, then `[b, h·w]`.
    y: Tensor<2>,
    x: Tensor<2>,
    /// Whether the place is inside of the image, `[b, h·w]`.
    inside: Option<Tensor<2, Bool>>,
    height: usize,
    width: usize,
}

impl Origin {
    fn new(height: usize, width: usize, device: &Device) -> Self {
        let rows: Vec<f32> = (0..height * width).map(|i| (i / width) as f32).collect();
        let columns: Vec<f32> = (0..height * width).map(|i| (i % width) as f32).collect();
        let row = |values| Tensor::from_data(TensorData::new(values, [1, height * width]), device);
        Self {
            y: row(rows),
            x: row(columns),
            inside: None,
            height,
            width,
        }
    }

    /// Adds offsets, each `[b, 1]`.
    fn shift(&mut self, dy: &Tensor<2>, dx: &Tensor<2>) {
        self.y = self.y.clone() + dy.clone();
        self.x = self.x.clone() + dx.clone();
        self.check();
    }

    /// Turns the image counter-clockwise; cos and sin of the angle are `[b, 1]`.
    fn rotate(&mut self, cos: &Tensor<2>, sin: &Tensor<2>) {
        let (centre_y, centre_x) = (centre(self.height), centre(self.width));
        let dy = self.y.clone() - centre_y;
        let dx = self.x.clone() - centre_x;
        // The nearest pixel is torchvision's default, too.
        let nearest = |offset: Tensor<2>, centre: f32| (offset + (centre + 0.5)).floor();
        self.x = nearest(
            dx.clone() * cos.clone() - dy.clone() * sin.clone(),
            centre_x,
        );
        self.y = nearest(dx * sin.clone() + dy * cos.clone(), centre_y);
        self.check();
    }

    /// Swaps left and right where `flip`, `[b, 1]`, is 1 and not 0.
    fn flip(&mut self, flip: &Tensor<2>) {
        let last = (self.width - 1) as f32;
        let there = self.x.clone().mul_scalar(-2.0) + last;
        self.x = self.x.clone() + there * flip.clone();
    }

    /// Marks places outside of the image; a later move does not bring them back.
    fn check(&mut self) {
        let within = |position: &Tensor<2>, n: usize| {
            let (first, last) = (0.0, (n - 1) as f32);
            let above = position.clone().greater_equal_elem(first);
            above.bool_and(position.clone().lower_equal_elem(last))
        };
        let now = within(&self.y, self.height).bool_and(within(&self.x, self.width));
        self.inside = Some(match self.inside.take() {
            Some(before) => before.bool_and(now),
            None => now,
        });
    }

    /// The positions `[b, h·w]` in the row-major image and, if any is outside of the image, 1 for each position inside
    /// and 0 for each outside, `[b, h·w]`.
    fn lookup(self, b: usize) -> (Tensor<2, Int>, Option<Tensor<2>>) {
        let pixels = self.height * self.width;
        let y = self.y.clamp(0.0, (self.height - 1) as f32);
        let x = self.x.clamp(0.0, (self.width - 1) as f32);
        let index = (y.mul_scalar(self.width as f32) + x).int();
        (
            index.expand([b, pixels]),
            self.inside.map(|inside| inside.float()),
        )
    }
}

/// The middle of n pixels, in pixels from the first.
fn centre(n: usize) -> f32 {
    (n - 1) as f32 / 2.0
}

/// 0, 1, … n − 1 in a row, `[1, n]`.
fn grid(n: usize, device: &Device) -> Tensor<2> {
    let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, n]), device)
}

#[cfg(test)]
mod tests;
