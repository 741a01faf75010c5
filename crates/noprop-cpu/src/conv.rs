//! 2-D convolution as one matrix product over the whole batch.
//!
//! Burn's CPU backend multiplies image by image, which for a late layer of a ResNet on small
//! images (2×2 or 1×1 pixels) is a product with one column. Here the columns of all images stand
//! side by side, and kernel taps that only ever meet padding are left out.
//!
//! ```text
//! y  [c_out, n]    = W [c_out, k] · X [k, n]          n = batch · pixels of the output
//! dW [c_out, k]    = dy [c_out, n] · Xᵀ               k = c_in · taps
//! dx               = fold(Wᵀ · dy [k, n])
//! ```
//!
//! On few pixels much of X would be padding: 56 % of a 3×3 kernel's on 2×2 pixels. There the output
//! pixels whose windows meet the image with the same taps are a [`Group`], with a product of its own.

mod group;

use burn::backend::Flex;
use burn::backend::ops::FloatTensorOps;
use rayon::prelude::*;

use crate::cpu_tensor::{FlexTensor, from_vec, values};
use crate::planes::{self, Planes};
use group::{Axis, Group};

/// Values of X at most, a quarter of a gigabyte. Beyond it burn's convolution serves, which works
/// image by image: on large images it loses little.
const MOST_COLUMNS: usize = 1 << 26;

/// The sizes of a convolution without groups, dilation and bias.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    batch: usize,
    channels_in: usize,
    channels_out: usize,
    input: [usize; 2],
    output: [usize; 2],
    kernel: [usize; 2],
    padding: [usize; 2],
    /// Every output pixel is in one.
    groups: Vec<Group>,
}

impl Convolution {
    /// Images `[b, c_in, h, w]` with a kernel `[c_out, c_in, kh, kw]`; nothing when the kernel is
    /// larger than the padded image or meets nothing but padding, or X would be too large.
    pub fn new(
        [batch, channels_in, height, width]: [usize; 4],
        [channels_out, _, kernel_h, kernel_w]: [usize; 4],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Option<Self> {
        let vertical = Axis::new(height, kernel_h, stride[0], padding[0])?;
        let horizontal = Axis::new(width, kernel_w, stride[1], padding[1])?;
        let groups = group::of(&vertical, &horizontal)?;
        let values: usize = groups.iter().map(Group::len).sum();
        let plan = Self {
            batch,
            channels_in,
            channels_out,
            input: [height, width],
            output: [vertical.output, horizontal.output],
            kernel: [kernel_h, kernel_w],
            padding,
            groups,
        };
        (values * channels_in * batch <= MOST_COLUMNS).then_some(plan)
    }

    /// `x` `[b, c_in, h, w]`, `weight` `[c_out, c_in, kh, kw]` → `[b, c_out, oh, ow]`.
    pub fn forward(&self, x: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let x = Planes::of(x);
        let product =
            |group| Flex::float_matmul(self.matrix(weight, group), self.unfold(&x, group));
        self.join(self.groups.iter().map(product).collect())
    }

    /// Gradient of the weight from `x` and that of the output.
    pub fn weight_gradient(&self, x: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let (x, gradient) = (Planes::of(x), Planes::of(gradient));
        let product = |group| {
            let columns = self.unfold(&x, group);
            Flex::float_matmul(self.part(&gradient, group), columns.transpose(0, 1))
        };
        let [height, width] = self.kernel;
        let shape = [self.channels_out, self.channels_in, height, width];
        let size = height * width;
        if let [group] = &self.groups[..]
            && group.taps.len() == size
        {
            return product(group).reshape(shape.into());
        }
        let mut sum = vec![0.0; self.channels_out * self.channels_in * size];
        for group in &self.groups {
            let product = product(group);
            let kernels = values(&product).chunks_exact(group.taps.len());
            for (to, from) in sum.chunks_exact_mut(size).zip(kernels) {
                for (tap, value) in group.taps.iter().zip(from) {
                    to[tap.index] += *value;
                }
            }
        }
        from_vec(sum, shape)
    }

    /// Gradient of the input from the weight and the gradient of the output.
    pub fn input_gradient(&self, weight: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let gradient = Planes::of(gradient);
        let product = |group| {
            let weight = self.matrix(weight, group).transpose(0, 1);
            Flex::float_matmul(weight, self.part(&gradient, group))
        };
        self.fold(self.groups.iter().map(product).collect())
    }

    /// The weight as `[c_out, k]`, with the taps of `group`.
    fn matrix(&self, weight: &FlexTensor, group: &Group) -> FlexTensor {
        let (taps, size) = (group.taps.len(), self.kernel[0] * self.kernel[1]);
        let shape = [self.channels_out, self.channels_in * taps];
        if taps == size {
            return weight.reshape(shape.into());
        }
        let weight = weight.to_contiguous();
        let weight = values(&weight);
        // Written in place: an iterator of unknown length would grow the vector as it goes.
        let mut used = vec![0.0; shape.iter().product()];
        for (to, kernel) in used.chunks_exact_mut(taps).zip(weight.chunks_exact(size)) {
            for (value, tap) in to.iter_mut().zip(&group.taps) {
                *value = kernel[tap.index];
            }
        }
        from_vec(used, shape)
    }

    /// Columns of X: output pixels of all images.
    fn columns(&self, group: &Group) -> usize {
        self.batch * group.pixels.len()
    }

    /// The output pixels of `group` in `[c_out, b, oh, ow]` as `[c_out, n]`.
    fn part(&self, planes: &Planes, group: &Group) -> FlexTensor {
        let shape = [self.channels_out, self.columns(group)];
        if self.groups.len() == 1 {
            return planes.matrix(shape);
        }
        let mut part = vec![0.0; shape.iter().product()];
        let images = planes.values().chunks_exact(self.output_pixels());
        for (to, image) in part.chunks_exact_mut(group.pixels.len()).zip(images) {
            for (value, &pixel) in to.iter_mut().zip(&group.pixels) {
                *value = image[pixel];
            }
        }
        from_vec(part, shape)
    }

    /// The inverse of `part` for all groups: `[c_out, n]` each → `[b, c_out, oh, ow]`.
    fn join(&self, mut parts: Vec<FlexTensor>) -> FlexTensor {
        let shape = [
            self.channels_out,
            self.batch,
            self.output[0],
            self.output[1],
        ];
        if parts.len() == 1 {
            return planes::tensor(parts.remove(0), shape);
        }
        let mut joined = vec![0.0; shape.iter().product()];
        for (group, part) in self.groups.iter().zip(&parts) {
            let images = joined.chunks_exact_mut(self.output_pixels());
            for (image, from) in images.zip(values(part).chunks_exact(group.pixels.len())) {
                for (&pixel, value) in group.pixels.iter().zip(from) {
                    image[pixel] = *value;
                }
            }
        }
        planes::tensor(from_vec(joined, shape), shape)
    }

    /// Whether X is the image itself.
    fn is_pointwise(&self) -> bool {
        let [height, width] = self.input;
        let [group] = &self.groups[..] else {
            return false;
        };
        let [tap] = &group.taps[..] else { return false };
        let centre = self.padding[0] * (width + 2 * self.padding[1]) + self.padding[1];
        self.output == [height, width] && tap.offset == centre
    }

    /// X `[k, n]` of `group`: under each of its output pixels those that the window covers.
    fn unfold(&self, x: &Planes, group: &Group) -> FlexTensor {
        let shape = [self.channels_in * group.taps.len(), self.columns(group)];
        if self.is_pointwise() {
            return x.matrix(shape);
        }
        let mut columns = vec![0.0; shape.iter().product()];
        columns
            .par_chunks_mut(group.taps.len() * self.columns(group))
            .zip(x.values().par_chunks(self.batch * self.pixels()))
            .for_each_init(
                || vec![0.0; self.padded_pixels()],
                |padded, (rows, images)| self.unfold_channel(group, padded, images, rows),
            );
        from_vec(columns, shape)
    }

    fn unfold_channel(&self, group: &Group, padded: &mut [f32], images: &[f32], rows: &mut [f32]) {
        let windows = group.windows.len();
        for (b, image) in images.chunks_exact(self.pixels()).enumerate() {
            let inside = self.inside(padded);
            for (to, from) in inside.zip(image.chunks_exact(self.input[1])) {
                to.copy_from_slice(from);
            }
            let rows = rows.chunks_exact_mut(self.columns(group));
            for (tap, row) in group.taps.iter().zip(rows) {
                let from = &padded[tap.offset..];
                let to = &mut row[b * windows..(b + 1) * windows];
                for (value, &window) in to.iter_mut().zip(&group.windows) {
                    *value = from[window];
                }
            }
        }
    }

    /// The adjoint of `unfold`: `[k, n]` of each group → `[b, c_in, h, w]`.
    fn fold(&self, mut columns: Vec<FlexTensor>) -> FlexTensor {
        let shape = [self.channels_in, self.batch, self.input[0], self.input[1]];
        if self.is_pointwise() {
            return planes::tensor(columns.remove(0), shape);
        }
        let mut x = vec![0.0; shape.iter().product()];
        x.par_chunks_mut(self.batch * self.pixels())
            .enumerate()
            .for_each_init(
                || vec![0.0; self.padded_pixels()],
                |padded, (channel, images)| self.fold_channel(padded, &columns, channel, images),
            );
        planes::tensor(from_vec(x, shape), shape)
    }

    fn fold_channel(
        &self,
        padded: &mut [f32],
        columns: &[FlexTensor],
        channel: usize,
        images: &mut [f32],
    ) {
        for (b, image) in images.chunks_exact_mut(self.pixels()).enumerate() {
            padded.fill(0.0);
            for (group, columns) in self.groups.iter().zip(columns) {
                let (windows, n) = (group.windows.len(), self.columns(group));
                let rows = values(columns).chunks_exact(n);
                let rows = rows.skip(channel * group.taps.len());
                for (tap, row) in group.taps.iter().zip(rows) {
                    let to = &mut padded[tap.offset..];
                    let from = &row[b * windows..(b + 1) * windows];
                    for (value, &window) in from.iter().zip(&group.windows) {
                        to[window] += *value;
                    }
                }
            }
            let inside = self.inside(padded);
            for (from, to) in inside.zip(image.chunks_exact_mut(self.input[1])) {
                to.copy_from_slice(from);
            }
        }
    }

    fn pixels(&self) -> usize {
        self.input[0] * self.input[1]
    }

    fn output_pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    fn padded_pixels(&self) -> usize {
        (self.input[0] + 2 * self.padding[0]) * (self.input[1] + 2 * self.padding[1])
    }

    /// The rows of the image within a padded one.
    fn inside<'a>(&self, padded: &'a mut [f32]) -> impl Iterator<Item = &'a mut [f32]> {
        let ([height, width], [top, left]) = (self.input, self.padding);
        let rows = padded.chunks_exact_mut(width + 2 * left);
        let rows = rows.skip(top).take(height);
        rows.map(move |row| &mut row[left..left + width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_columns_are_left_to_burn() {
        let plan = |batch| Convolution::new([batch, 64, 64, 64], [8, 64, 3, 3], [1, 1], [1, 1]);
        // 64 channels, 9 taps and 64·64 pixels are 2.4 million values an image.
        assert!(plan(28).is_some());
        assert!(plan(29).is_none());
    }
}
