//! 2-D convolution as one matrix product over the whole batch, and as a single operation of the autodiff graph.
//!
//! Burn's CPU backend multiplies image by image. For a late layer of a ResNet on small images (2×2 or 1×1 pixels) this
//! is a product with a few columns or one. In this module the columns of all images stand side by side, and kernel taps
//! that only meet padding are left out.
//!
//! ```text
//! y  [c_out, n]    = W [c_out, k] · X [k, n]          n = batch · pixels of the output
//! dW [c_out, k]    = dy [c_out, n] · Xᵀ               k = c_in · taps
//! dx               = fold(Wᵀ · dy [k, n])
//! ```
//!
//! On small images much of X would be padding, for example 56 % with a 3×3 kernel on 2×2 pixels. There the
//! output pixels are divided into [`Group`]s: all pixels of a group see the image through the same kernel taps,
//! and each group has a product of its own.

mod group;

use burn::backend::Flex;
use burn::backend::ops::FloatTensorOps;
use rayon::prelude::*;

use crate::tensor::{CpuTensor, FlexTensor, Planes, TrackedTensor, from_planes, from_vec, values};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use group::{Axis, Group, groups_of};

/// The largest number of values of X; as f32 they take a quarter of a gigabyte. For a larger X burn's own convolution
/// runs, which works image by image and is about as fast on large images.
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
}

impl Convolution {
    /// The convolution of images `[b, c_in, h, w]` with a kernel `[c_out, c_in, kh, kw]`. It is `None` when the
    /// kernel is larger than the padded image or meets nothing but padding, and when X would be too large.
    pub fn new(
        [batch, channels_in, height, width]: [usize; 4],
        [channels_out, _, kernel_h, kernel_w]: [usize; 4],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Option<Self> {
        let vertical = Axis::new(height, kernel_h, stride[0], padding[0])?;
        let horizontal = Axis::new(width, kernel_w, stride[1], padding[1])?;
        let groups = groups_of(&vertical, &horizontal)?;
        let values: usize = groups.iter().map(Group::len).sum();
        let convolution = Self {
            batch,
            channels_in,
            channels_out,
            input: [height, width],
            output: [vertical.output, horizontal.output],
            kernel: [kernel_h, kernel_w],
            padding,
            groups,
        };
        (values * channels_in * batch <= MOST_COLUMNS).then_some(convolution)
    }

    /// The output `[b, c_out, oh, ow]` from `x` `[b, c_in, h, w]` and `weight` `[c_out, c_in, kh, kw]`.
    pub fn forward(&self, x: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let x = Planes::of(x);
        let product =
            |group| Flex::float_matmul(self.matrix(weight, group), self.unfold(&x, group));
        self.join(self.groups.iter().map(product).collect())
    }

    /// The gradient of the weight, `[c_out, c_in, kh, kw]`, from `x` and the gradient of the output.
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

    /// The gradient of the input, `[b, c_in, h, w]`, from the weight and the gradient of the output.
    pub fn input_gradient(&self, weight: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let gradient = Planes::of(gradient);
        let product = |group| {
            let weight = self.matrix(weight, group).transpose(0, 1);
            Flex::float_matmul(weight, self.part(&gradient, group))
        };
        self.fold(self.groups.iter().map(product).collect())
    }

    /// The weight as a matrix `[c_out, k]` that holds the taps of `group` only.
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

    /// The number of columns of X: the output pixels of `group` in all images.
    fn columns(&self, group: &Group) -> usize {
        self.batch * group.pixels.len()
    }

    /// The output pixels of `group` in `[c_out, b, oh, ow]` as a matrix `[c_out, n]`.
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

    /// The output `[b, c_out, oh, ow]` from the products `[c_out, n]` of all groups: the inverse of [`Self::part`].
    fn join(&self, mut parts: Vec<FlexTensor>) -> FlexTensor {
        let shape = [
            self.channels_out,
            self.batch,
            self.output[0],
            self.output[1],
        ];
        if parts.len() == 1 {
            return from_planes(parts.remove(0), shape);
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
        from_planes(from_vec(joined, shape), shape)
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

    /// X `[k, n]` of `group`: the column of an output pixel holds the input pixels that its window covers.
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

    /// The sum `[b, c_in, h, w]` of all columns `[k, n]` of the groups at the input pixels that they came from: the
    /// adjoint of [`Self::unfold`].
    fn fold(&self, mut columns: Vec<FlexTensor>) -> FlexTensor {
        let shape = [self.channels_in, self.batch, self.input[0], self.input[1]];
        if self.is_pointwise() {
            return from_planes(columns.remove(0), shape);
        }
        let mut x = vec![0.0; shape.iter().product()];
        x.par_chunks_mut(self.batch * self.pixels())
            .enumerate()
            .for_each_init(
                || vec![0.0; self.padded_pixels()],
                |padded, (channel, images)| self.fold_channel(padded, &columns, channel, images),
            );
        from_planes(from_vec(x, shape), shape)
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

    /// The rows of the image within the padded image `padded`.
    fn inside<'a>(&self, padded: &'a mut [f32]) -> impl Iterator<Item = &'a mut [f32]> {
        let ([height, width], [top, left]) = (self.input, self.padding);
        let rows = padded.chunks_exact_mut(width + 2 * left);
        let rows = rows.skip(top).take(height);
        rows.map(move |row| &mut row[left..left + width])
    }
}

/// The sizes of the convolution that `layer` applies to `x`, without its bias; `None` where this module cannot
/// take the place of burn's convolution.
pub(crate) fn supported(layer: &Conv2d, x: &Tensor<4>) -> Option<Convolution> {
    let padding = match layer.padding {
        PaddingConfig2d::Valid => [0, 0],
        PaddingConfig2d::Explicit(top, left, bottom, right) if (top, left) == (bottom, right) => {
            [top, left]
        }
        _ => return None,
    };
    let plain = layer.groups == 1 && layer.dilation == [1, 1];
    let weight = layer.weight.shape().dims();
    (plain && CpuTensor::holds(x))
        .then(|| Convolution::new(x.dims(), weight, layer.stride, padding))
        .flatten()
}

/// The output of `convolution` on `x` with the weight of `layer`.
pub(crate) fn forward(convolution: Convolution, layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let is_tracked = x.device().is_autodiff();
    let (x, weight) = (CpuTensor::of(x), CpuTensor::of(layer.weight.val()));
    let y = if is_tracked {
        CpuTensor::Tracked(tracked(
            convolution,
            x.into_tracked(),
            weight.into_tracked(),
        ))
    } else {
        CpuTensor::Plain(convolution.forward(&x.into_values(), &weight.into_values()))
    };
    y.into_tensor()
}

/// Runs `convolution` and records it in the autodiff graph.
fn tracked(convolution: Convolution, x: TrackedTensor, weight: TrackedTensor) -> TrackedTensor {
    let prepared = Conv2dOp
        .prepare::<NoCheckpointing>([x.node(), weight.node()])
        .compute_bound()
        .stateful();
    let (x, weight) = (x.into_primitive(), weight.into_primitive());
    let y = convolution.forward(&x, &weight);
    match prepared {
        OpsKind::Tracked(prepared) => prepared.finish((convolution, x, weight), y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    }
}

/// The node of a convolution in the autodiff graph; its parents are x and the weight.
#[derive(Debug)]
struct Conv2dOp;

impl Backward<Flex, 2> for Conv2dOp {
    type State = (Convolution, FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let (convolution, x, weight) = ops.state;
        let [of_x, of_weight] = ops.parents;
        if let Some(node) = of_weight {
            gradients.register::<Flex>(node.id, convolution.weight_gradient(&x, &gradient));
        }
        if let Some(node) = of_x {
            gradients.register::<Flex>(node.id, convolution.input_gradient(&weight, &gradient));
        }
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
