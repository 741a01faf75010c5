//! 2-D convolution as matrix products over many images, and as one operation of the autodiff graph.
//!
//! Burn's CPU backend multiplies image by image, which for a late layer of a ResNet on small
//! images (2×2 or 1×1 pixels) is a product with one column. Here the columns of many images stand
//! side by side, and kernel taps that only ever meet padding are left out.
//!
//! ```text
//! y  [c_out, n]    = W [c_out, k] · X [k, n]          n = images · pixels of the output
//! dW [c_out, k]    = dy [c_out, n] · Xᵀ               k = c_in · taps
//! dx               = fold(Wᵀ · dy [k, n])
//! ```
//!
//! X is c_in · taps times as large as the output has pixels, so a large batch is computed in chunks of images whose
//! X stays in the cache. The size of a chunk follows from the sizes of the convolution alone, so results do not
//! depend on the number of threads. The gradient of the weight is the sum over the chunks in their order.
//!
//! On small images much of X would be padding, for example 56 % with a 3×3 kernel on 2×2 pixels. There the
//! output pixels are divided into [`Group`]s: all pixels of a group see the image through the same kernel taps,
//! and each group has a product of its own.

mod columns;
mod graph;
mod group;

use core::ops::Range;

use burn::backend::Flex;
use burn::backend::ops::FloatTensorOps;
use rayon::prelude::*;

use crate::tensor::{FlexTensor, Planes, from_planes, from_vec, values};
use columns::Columns;
pub(crate) use graph::{forward, supported};
use group::{Axis, Group, groups_of};

/// The number of values of X that a chunk of images has at most, unless one image has more: 4 MiB as f32.
const CHUNK: usize = 1 << 20;

/// The most values of X that one image may have; as f32 they take a quarter of a gigabyte. For a larger image burn's
/// own convolution runs.
const MOST_COLUMNS: usize = 1 << 26;

/// The sizes of a convolution without channel groups, without dilation and without bias.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    batch: usize,
    channels_in: usize,
    channels_out: usize,
    input: [usize; 2],
    output: [usize; 2],
    kernel: [usize; 2],
    padding: [usize; 2],
    /// The groups of output pixels; every output pixel is in exactly one, unless it sees only padding.
    groups: Vec<Group>,
    /// The number of images of a chunk; the last one may have fewer.
    chunk: usize,
}

impl Convolution {
    /// The convolution of images `[b, c_in, h, w]` with a kernel `[c_out, c_in, kh, kw]`. It is `None` when the
    /// kernel is larger than the padded image or meets nothing but padding, and when X of one image would be too
    /// large.
    pub fn new(
        [batch, channels_in, height, width]: [usize; 4],
        [channels_out, _, kernel_h, kernel_w]: [usize; 4],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Option<Self> {
        let vertical = Axis::new(height, kernel_h, stride[0], padding[0])?;
        let horizontal = Axis::new(width, kernel_w, stride[1], padding[1])?;
        let groups = groups_of(&vertical, &horizontal)?;
        let of_image = channels_in * groups.iter().map(Group::len).sum::<usize>();
        let mut convolution = Self {
            batch,
            channels_in,
            channels_out,
            input: [height, width],
            output: [vertical.output, horizontal.output],
            kernel: [kernel_h, kernel_w],
            padding,
            groups,
            chunk: (CHUNK / of_image.max(1)).max(1),
        };
        if convolution.is_pointwise() {
            // X is the images themselves.
            convolution.chunk = batch.max(1);
        }
        (of_image <= MOST_COLUMNS).then_some(convolution)
    }

    /// The output `[b, c_out, oh, ow]` from `x` `[b, c_in, h, w]` and `weight` `[c_out, c_in, kh, kw]`.
    pub fn forward(&self, x: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let x = Planes::of(x);
        let weights = self.matrices(weight);
        let shape = self.output_planes();
        if let ([group], [weight], true) = (&self.groups[..], &weights[..], self.is_one_chunk()) {
            let columns = Columns::new(self, group).unfold(&x, 0..self.batch);
            return from_planes(Flex::float_matmul(weight.clone(), columns), shape);
        }
        let mut y = vec![0.0; shape.iter().product()];
        for (group, weight) in self.groups.iter().zip(weights) {
            let mut columns = Columns::new(self, group);
            for images in self.chunks() {
                let columns = columns.unfold(&x, images.clone());
                let part = Flex::float_matmul(weight.clone(), columns);
                self.put_part(&mut y, &part, group, images);
            }
        }
        from_planes(from_vec(y, shape), shape)
    }

    /// The gradient of the weight, `[c_out, c_in, kh, kw]`, from `x` and the gradient of the output.
    pub fn weight_gradient(&self, x: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let (x, gradient) = (Planes::of(x), Planes::of(gradient));
        let [height, width] = self.kernel;
        let shape = [self.channels_out, self.channels_in, height, width];
        let size = height * width;
        let mut sum = vec![0.0; self.channels_out * self.channels_in * size];
        for group in &self.groups {
            let mut columns = Columns::new(self, group);
            for images in self.chunks() {
                let part = self.part(&gradient, group, images.clone());
                let columns = columns.unfold(&x, images);
                let product = Flex::float_matmul(part, columns.transpose(0, 1));
                let kernels = values(&product).chunks_exact(group.taps.len());
                for (to, from) in sum.chunks_exact_mut(size).zip(kernels) {
                    for (tap, value) in group.taps.iter().zip(from) {
                        to[tap.index] += *value;
                    }
                }
            }
        }
        from_vec(sum, shape)
    }

    /// The gradient of the input, `[b, c_in, h, w]`, from the weight and the gradient of the output.
    pub fn input_gradient(&self, weight: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let gradient = Planes::of(gradient);
        let weights = self.matrices(weight);
        let shape = [self.channels_in, self.batch, self.input[0], self.input[1]];
        let product = |(group, weight): (&Group, &FlexTensor), images: Range<usize>| {
            let part = self.part(&gradient, group, images);
            Flex::float_matmul(weight.transpose(0, 1), part)
        };
        if self.is_pointwise() {
            let columns = product((&self.groups[0], &weights[0]), 0..self.batch);
            return from_planes(columns, shape);
        }
        let mut x = vec![0.0; shape.iter().product()];
        for images in self.chunks() {
            let groups = self.groups.iter().zip(&weights);
            let columns: Vec<_> = groups.map(|pair| product(pair, images.clone())).collect();
            self.fold(&mut x, &columns, images);
        }
        from_planes(from_vec(x, shape), shape)
    }

    /// The ranges of images that are computed together.
    fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (batch, chunk) = (self.batch, self.chunk);
        let starts = (0..batch).step_by(chunk);
        starts.map(move |start| start..(start + chunk).min(batch))
    }

    fn is_one_chunk(&self) -> bool {
        self.batch <= self.chunk
    }

    /// The weight as a matrix `[c_out, k]` for each group, which holds the taps of the group only.
    fn matrices(&self, weight: &FlexTensor) -> Vec<FlexTensor> {
        let of_group = |group| self.matrix(weight, group);
        self.groups.iter().map(of_group).collect()
    }

    fn matrix(&self, weight: &FlexTensor, group: &Group) -> FlexTensor {
        let (taps, size) = (group.taps.len(), self.kernel[0] * self.kernel[1]);
        let shape = [self.channels_out, self.channels_in * taps];
        if taps == size {
            return weight.reshape(shape.into());
        }
        let weight = weight.to_contiguous();
        let weight = values(&weight);
        // The values are written in place: an iterator of unknown length would make the vector grow again and again.
        let mut used = vec![0.0; shape.iter().product()];
        for (to, kernel) in used.chunks_exact_mut(taps).zip(weight.chunks_exact(size)) {
            for (value, tap) in to.iter_mut().zip(&group.taps) {
                *value = kernel[tap.index];
            }
        }
        from_vec(used, shape)
    }

    /// The output pixels of `group` in the images `images` of `planes` `[c_out, b, oh, ow]`, as `[c_out, n]`.
    fn part(&self, planes: &Planes, group: &Group, images: Range<usize>) -> FlexTensor {
        let pixels = self.output_pixels();
        let columns = images.len() * group.pixels.len();
        let shape = [self.channels_out, columns];
        let is_whole = group.is_whole(pixels);
        if is_whole && images.len() == self.batch {
            return planes.matrix(shape);
        }
        let mut part = vec![0.0; shape.iter().product()];
        part.par_chunks_mut(columns)
            .zip(planes.values().par_chunks(self.batch * pixels))
            .for_each(|(to, from)| {
                let from = &from[images.start * pixels..images.end * pixels];
                if is_whole {
                    to.copy_from_slice(from);
                    return;
                }
                let to = to.chunks_exact_mut(group.pixels.len());
                for (to, image) in to.zip(from.chunks_exact(pixels)) {
                    for (value, &pixel) in to.iter_mut().zip(&group.pixels) {
                        *value = image[pixel];
                    }
                }
            });
        from_vec(part, shape)
    }

    /// Writes the product `part` `[c_out, n]` of `group` and the images `images` into the output `y`, which lies as
    /// `[c_out, b, oh, ow]`: the inverse of `part`.
    fn put_part(&self, y: &mut [f32], part: &FlexTensor, group: &Group, images: Range<usize>) {
        let pixels = self.output_pixels();
        let is_whole = group.is_whole(pixels);
        let columns = images.len() * group.pixels.len();
        y.par_chunks_mut(self.batch * pixels)
            .zip(values(part).par_chunks(columns))
            .for_each(|(to, from)| {
                let to = &mut to[images.start * pixels..images.end * pixels];
                if is_whole {
                    to.copy_from_slice(from);
                    return;
                }
                let from = from.chunks_exact(group.pixels.len());
                for (image, from) in to.chunks_exact_mut(pixels).zip(from) {
                    for (&pixel, value) in group.pixels.iter().zip(from) {
                        image[pixel] = *value;
                    }
                }
            });
    }

    /// Whether X equals the images themselves, as for a 1×1 kernel with stride 1.
    fn is_pointwise(&self) -> bool {
        let [height, width] = self.input;
        let [group] = &self.groups[..] else {
            return false;
        };
        let [tap] = &group.taps[..] else { return false };
        let centre = self.padding[0] * (width + 2 * self.padding[1]) + self.padding[1];
        self.output == [height, width] && tap.offset == centre
    }

    fn output_planes(&self) -> [usize; 4] {
        let [height, width] = self.output;
        [self.channels_out, self.batch, height, width]
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

    /// The rows of the image within the padded image `padded`.
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
    fn too_large_an_image_is_left_to_burn() {
        let plan = |size| Convolution::new([1, 64, size, size], [8, 64, 3, 3], [1, 1], [1, 1]);
        // 64 channels and 9 taps are 576 values a pixel.
        assert!(plan(341).is_some());
        assert!(plan(342).is_none());
    }

    #[test]
    fn a_batch_in_chunks_is_the_batch_as_a_whole() {
        let random = |n: usize, seed: u32| -> Vec<f32> {
            let value = |i: usize| (((i as u32 * 7919 + seed) % 1009) as f32 - 504.0) / 504.0;
            (0..n).map(value).collect()
        };
        for (size, stride, padding) in [(7, 1, 1), (9, 2, 1), (2, 1, 1), (6, 1, 0)] {
            let whole =
                Convolution::new([11, 3, size, size], [5, 3, 3, 3], [stride; 2], [padding; 2]);
            // A kernel does not fit into 2×2 pixels without padding.
            let whole = whole.expect("a kernel that fits");
            let x = from_vec(random(11 * 3 * size * size, 1), [11, 3, size, size]);
            let weight = from_vec(random(5 * 27, 2), [5, 3, 3, 3]);
            let [_, _, height, width] = whole.output_planes();
            let gradient = random(11 * 5 * height * width, 3);
            let gradient = from_vec(gradient, [11, 5, height, width]);
            for chunk in [1, 4, 10] {
                let split = Convolution {
                    chunk,
                    ..whole.clone()
                };
                let near = |a: FlexTensor, b: FlexTensor| {
                    let (a, b) = (a.to_contiguous(), b.to_contiguous());
                    for (a, b) in values(&a).iter().zip(values(&b)) {
                        assert!((a - b).abs() < 1e-4, "{a} against {b}");
                    }
                };
                near(split.forward(&x, &weight), whole.forward(&x, &weight));
                near(
                    split.weight_gradient(&x, &gradient),
                    whole.weight_gradient(&x, &gradient),
                );
                near(
                    split.input_gradient(&weight, &gradient),
                    whole.input_gradient(&weight, &gradient),
                );
            }
        }
    }
}
