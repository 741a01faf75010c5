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

use burn::backend::Flex;
use burn::backend::ops::FloatTensorOps;
use rayon::prelude::*;

use crate::cpu_tensor::{FlexTensor, from_vec, values};
use crate::planes::{self, Planes};

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
    /// Taps that meet a pixel of the image at some place.
    taps: Vec<Tap>,
    /// Where an output pixel's window begins in a padded image.
    windows: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Tap {
    /// Its place in the kernel.
    index: usize,
    /// Its distance from the beginning of the window in a padded image.
    offset: usize,
}

impl Convolution {
    /// Images `[b, c_in, h, w]` with a kernel `[c_out, c_in, kh, kw]`; nothing when the kernel is
    /// larger than the padded image, or X would be too large.
    pub fn new(
        [batch, channels_in, height, width]: [usize; 4],
        [channels_out, _, kernel_h, kernel_w]: [usize; 4],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Option<Self> {
        let [padded_h, padded_w] = [height + 2 * padding[0], width + 2 * padding[1]];
        let out_h = padded_h.checked_sub(kernel_h)? / stride[0] + 1;
        let out_w = padded_w.checked_sub(kernel_w)? / stride[1] + 1;
        let meets = |k: usize, out: usize, axis: usize, size: usize| {
            (0..out)
                .any(|o| (padding[axis]..padding[axis] + size).contains(&(o * stride[axis] + k)))
        };
        let taps = (0..kernel_h * kernel_w)
            .map(|index| (index, index / kernel_w, index % kernel_w))
            .filter(|&(_, i, j)| meets(i, out_h, 0, height) && meets(j, out_w, 1, width))
            .map(|(index, i, j)| Tap {
                index,
                offset: i * padded_w + j,
            })
            .collect();
        let windows = (0..out_h * out_w)
            .map(|o| o / out_w * stride[0] * padded_w + o % out_w * stride[1])
            .collect();
        let plan = Self {
            batch,
            channels_in,
            channels_out,
            input: [height, width],
            output: [out_h, out_w],
            kernel: [kernel_h, kernel_w],
            padding,
            taps,
            windows,
        };
        let values = channels_in * plan.taps.len() * plan.columns();
        (values <= MOST_COLUMNS).then_some(plan)
    }

    /// `x` `[b, c_in, h, w]`, `weight` `[c_out, c_in, kh, kw]` → `[b, c_out, oh, ow]`.
    pub fn forward(&self, x: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let columns = self.unfold(&Planes::of(x));
        let y = Flex::float_matmul(self.matrix(weight), columns);
        let [height, width] = self.output;
        planes::tensor(y, [self.channels_out, self.batch, height, width])
    }

    /// Gradient of the weight from `x` and that of the output.
    pub fn weight_gradient(&self, x: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let columns = self.unfold(&Planes::of(x));
        let product = Flex::float_matmul(self.rows(gradient), columns.transpose(0, 1));
        let [height, width] = self.kernel;
        let shape = [self.channels_out, self.channels_in, height, width];
        let (taps, size) = (self.taps.len(), height * width);
        if taps == size {
            return product.reshape(shape.into());
        }
        let product = values(&product);
        let mut full = vec![0.0; self.channels_out * self.channels_in * size];
        for (to, from) in full.chunks_exact_mut(size).zip(product.chunks_exact(taps)) {
            for (tap, value) in self.taps.iter().zip(from) {
                to[tap.index] = *value;
            }
        }
        from_vec(full, shape)
    }

    /// Gradient of the input from the weight and the gradient of the output.
    pub fn input_gradient(&self, weight: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let weight = self.matrix(weight).transpose(0, 1);
        self.fold(Flex::float_matmul(weight, self.rows(gradient)))
    }

    /// The weight as `[c_out, k]`.
    fn matrix(&self, weight: &FlexTensor) -> FlexTensor {
        let (taps, size) = (self.taps.len(), self.kernel[0] * self.kernel[1]);
        let shape = [self.channels_out, self.channels_in * taps];
        if taps == size {
            return weight.reshape(shape.into());
        }
        let weight = weight.to_contiguous();
        let weight = values(&weight);
        let used = weight
            .chunks_exact(size)
            .flat_map(|kernel| self.taps.iter().map(|tap| kernel[tap.index]));
        from_vec(used.collect(), shape)
    }

    /// A gradient of the output as `[c_out, n]`.
    fn rows(&self, gradient: &FlexTensor) -> FlexTensor {
        Planes::of(gradient).matrix([self.channels_out, self.columns()])
    }

    fn columns(&self) -> usize {
        self.batch * self.windows.len()
    }

    /// Whether X is the image itself.
    fn is_pointwise(&self) -> bool {
        let [height, width] = self.input;
        let [tap] = &self.taps[..] else { return false };
        let centre = self.padding[0] * (width + 2 * self.padding[1]) + self.padding[1];
        self.output == [height, width] && tap.offset == centre
    }

    /// X `[k, n]`: under each output pixel the pixels that its window covers.
    fn unfold(&self, x: &Planes) -> FlexTensor {
        let rows = self.channels_in * self.taps.len();
        if self.is_pointwise() {
            return x.matrix([rows, self.columns()]);
        }
        let mut columns = vec![0.0; rows * self.columns()];
        columns
            .par_chunks_mut(self.taps.len() * self.columns())
            .zip(x.values().par_chunks(self.batch * self.pixels()))
            .for_each_init(
                || vec![0.0; self.padded_pixels()],
                |padded, (rows, images)| self.unfold_channel(padded, images, rows),
            );
        from_vec(columns, [rows, self.columns()])
    }

    fn unfold_channel(&self, padded: &mut [f32], images: &[f32], rows: &mut [f32]) {
        let windows = self.windows.len();
        for (b, image) in images.chunks_exact(self.pixels()).enumerate() {
            let inside = self.inside(padded);
            for (to, from) in inside.zip(image.chunks_exact(self.input[1])) {
                to.copy_from_slice(from);
            }
            for (tap, row) in self.taps.iter().zip(rows.chunks_exact_mut(self.columns())) {
                let from = &padded[tap.offset..];
                let to = &mut row[b * windows..(b + 1) * windows];
                for (value, &window) in to.iter_mut().zip(&self.windows) {
                    *value = from[window];
                }
            }
        }
    }

    /// The adjoint of `unfold`: `[k, n]` → `[b, c_in, h, w]`.
    fn fold(&self, columns: FlexTensor) -> FlexTensor {
        let shape = [self.channels_in, self.batch, self.input[0], self.input[1]];
        if self.is_pointwise() {
            return planes::tensor(columns, shape);
        }
        let mut x = vec![0.0; shape.iter().product()];
        x.par_chunks_mut(self.batch * self.pixels())
            .zip(values(&columns).par_chunks(self.taps.len() * self.columns()))
            .for_each_init(
                || vec![0.0; self.padded_pixels()],
                |padded, (images, rows)| self.fold_channel(padded, rows, images),
            );
        planes::tensor(from_vec(x, shape), shape)
    }

    fn fold_channel(&self, padded: &mut [f32], rows: &[f32], images: &mut [f32]) {
        let windows = self.windows.len();
        for (b, image) in images.chunks_exact_mut(self.pixels()).enumerate() {
            padded.fill(0.0);
            for (tap, row) in self.taps.iter().zip(rows.chunks_exact(self.columns())) {
                let to = &mut padded[tap.offset..];
                let from = &row[b * windows..(b + 1) * windows];
                for (value, &window) in from.iter().zip(&self.windows) {
                    to[window] += *value;
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
