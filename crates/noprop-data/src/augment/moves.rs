//! Crop, flip, rotation, scale, shear and translation as one look-up of pixels.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use super::{Draws, Fill, Flip};

/// Crops, flips, shears, scales, rotates and translates images `[b, c, h, w]`, each by its own draw.
pub(crate) fn move_pixels(images: Tensor<4>, draws: &Draws) -> Tensor<4> {
    let config = draws.config;
    if !config.moves() {
        return images;
    }
    let [b, c, h, w] = images.dims();
    let device = images.device();
    let mut from = Origin::new(h, w, config.fill, &device);
    // From the result back to the image, so in reverse order.
    if config.translation > 0 {
        from.shift(
            &draws.column(|draw| -draw.translation[0], &device),
            &draws.column(|draw| -draw.translation[1], &device),
        );
    }
    let mut corners = if config.interpolates() {
        from.turn(
            &draws.column(|draw| draw.angle.cos() / draw.scale, &device),
            &draws.column(|draw| draw.angle.sin() / draw.scale, &device),
        );
        from.shear(&draws.column(|draw| draw.shear, &device));
        from.corners()
    } else if config.rotation > 0.0 {
        from.turn(
            &draws.column(|draw| draw.angle.cos(), &device),
            &draws.column(|draw| draw.angle.sin(), &device),
        );
        from.round();
        vec![(from, None)]
    } else {
        vec![(from, None)]
    };
    for (from, _) in &mut corners {
        if config.flip != Flip::Off {
            from.flip(&draws.column(|draw| f32::from(u8::from(draw.flip)), &device));
        }
        if config.crop_padding > 0 {
            from.shift(
                &draws.column(|draw| draw.crop[0], &device),
                &draws.column(|draw| draw.crop[1], &device),
            );
        }
    }
    let images = images.reshape([b, c, h * w]);
    let look_up = |(from, weight): (Origin, Option<Tensor<2>>)| {
        let (index, inside) = from.lookup(b);
        let index = index.unsqueeze_dim::<3>(1).repeat_dim(1, c);
        let moved = images.clone().gather(2, index);
        let factors = [inside, weight].into_iter().flatten();
        factors.fold(moved, |moved, factor| moved * factor.unsqueeze_dim::<3>(1))
    };
    let moved = corners.into_iter().map(look_up);
    let moved = moved.reduce(|sum, corner| sum + corner);
    moved.unwrap_or(images).reshape([b, c, h, w])
}

/// The place in the image from which each pixel of the result is taken, row-major.
#[derive(Clone)]
struct Origin {
    /// Row and column of the place, `[1, h·w]` at first, then `[b, h·w]`.
    y: Tensor<2>,
    x: Tensor<2>,
    /// Whether the place is inside of the image, `[b, h·w]`.
    inside: Option<Tensor<2, Bool>>,
    height: usize,
    width: usize,
    fill: Fill,
}

impl Origin {
    fn new(height: usize, width: usize, fill: Fill, device: &Device) -> Self {
        let rows: Vec<f32> = (0..height * width).map(|i| (i / width) as f32).collect();
        let columns: Vec<f32> = (0..height * width).map(|i| (i % width) as f32).collect();
        let row = |values| Tensor::from_data(TensorData::new(values, [1, height * width]), device);
        Self {
            y: row(rows),
            x: row(columns),
            inside: None,
            height,
            width,
            fill,
        }
    }

    /// Adds offsets, each `[b, 1]`.
    fn shift(&mut self, dy: &Tensor<2>, dx: &Tensor<2>) {
        self.y = self.y.clone() + dy.clone();
        self.x = self.x.clone() + dx.clone();
        self.leave();
    }

    /// Turns the image counter-clockwise about its centre and scales it; cos and sin of the angle, divided by the
    /// factor of the size, are `[b, 1]`.
    fn turn(&mut self, cos: &Tensor<2>, sin: &Tensor<2>) {
        let (centre_y, centre_x) = (centre(self.height), centre(self.width));
        let dy = self.y.clone() - centre_y;
        let dx = self.x.clone() - centre_x;
        self.x = dx.clone() * cos.clone() - dy.clone() * sin.clone() + centre_x;
        self.y = dx * sin.clone() + dy * cos.clone() + centre_y;
    }

    /// Shifts each row of the image to the right by `tangent`, `[b, 1]`, for each row that it is below the middle.
    fn shear(&mut self, tangent: &Tensor<2>) {
        let dy = self.y.clone() - centre(self.height);
        self.x = self.x.clone() - dy * tangent.clone();
    }

    /// Moves each place to the nearest pixel: torchvision's default.
    fn round(&mut self) {
        self.x = (self.x.clone() + 0.5).floor();
        self.y = (self.y.clone() + 0.5).floor();
        self.leave();
    }

    /// The four pixels around each place, with their weights `[b, h·w]` of bilinear interpolation.
    fn corners(self) -> Vec<(Self, Option<Tensor<2>>)> {
        let (top, left) = (self.y.clone().floor(), self.x.clone().floor());
        let (below, right) = (self.y.clone() - top.clone(), self.x.clone() - left.clone());
        let corner = |i: usize| {
            let (dy, dx) = ((i / 2) as f32, (i % 2) as f32);
            // The share d of the next pixel, and 1 − d of this one.
            let share =
                |d: &Tensor<2>, next: f32| d.clone().mul_scalar(2.0 * next - 1.0) + (1.0 - next);
            let weight = share(&below, dy) * share(&right, dx);
            let mut corner = Self {
                y: top.clone() + dy,
                x: left.clone() + dx,
                ..self.clone()
            };
            corner.leave();
            (corner, Some(weight))
        };
        (0..4).map(corner).collect()
    }

    /// Swaps left and right where `flip`, `[b, 1]`, is 1 and not 0.
    fn flip(&mut self, flip: &Tensor<2>) {
        let last = (self.width - 1) as f32;
        let there = self.x.clone().mul_scalar(-2.0) + last;
        self.x = self.x.clone() + there * flip.clone();
    }

    /// Deals with places outside of the image: they are marked, and a later move does not bring them back; or they
    /// are mirrored.
    fn leave(&mut self) {
        let last = |n: usize| (n - 1) as f32;
        if self.fill == Fill::Reflect {
            let mirrored = |position: &Tensor<2>, n| {
                // At the first pixel, then at the last one.
                (position.clone().abs() - last(n)).abs().neg() + last(n)
            };
            self.y = mirrored(&self.y, self.height);
            self.x = mirrored(&self.x, self.width);
            return;
        }
        let within = |position: &Tensor<2>, n: usize| {
            let above = position.clone().greater_equal_elem(0.0);
            above.bool_and(position.clone().lower_equal_elem(last(n)))
        };
        let now = within(&self.y, self.height).bool_and(within(&self.x, self.width));
        self.inside = Some(match self.inside.take() {
            Some(before) => before.bool_and(now),
            None => now,
        });
    }

    /// Positions in the row-major image and, where any is outside of it, whether they count, as 1
    /// or 0, both `[b, h·w]`.
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
