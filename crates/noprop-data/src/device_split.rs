//! A split on a device, and the batches that are made of it there.
//!
//! Four pixels are packed into an integer, since WGSL has no 8-bit type; a dataset thus takes one byte a
//! pixel on a GPU, too. The pixels of a batch are unpacked and normalised by tensor operations.

use burn::tensor::{Device, Int, Tensor, TensorData};
use noprop_core::Normalization;

use crate::Split;
use crate::augment::{self, Draws};

/// The images and labels of a [`Split`] on a device.
#[derive(Debug, Clone)]
pub struct DeviceSplit {
    /// The pixels, four to an integer, little-endian, `[n, ceil(c·h·w / 4)]`.
    packed: Tensor<2, Int>,
    /// The labels, `[n]`.
    labels: Tensor<1, Int>,
    shape: [usize; 3],
    /// The number of channels of an image in a batch. A grey image has its one channel copied to all of them.
    channels: usize,
    /// The mean of pixels in 0 … 255, `[1, c, 1, 1]`; the standard deviation has the same shape.
    mean: Tensor<4>,
    std: Tensor<4>,
    len: usize,
}

impl DeviceSplit {
    /// Uploads `split` to `device`. `channels` is the number of channels that the model takes: that of the
    /// split, or any number when the split is grey, whose one channel is then repeated.
    pub fn new(
        split: &Split,
        normalization: &Normalization,
        channels: usize,
        device: &Device,
    ) -> Self {
        let len = split.len();
        let pixels: usize = split.shape.iter().product();
        let words = pixels.div_ceil(4);
        let mut packed = vec![0_i32; len * words];
        for (image, row) in split.images.chunks(pixels).zip(packed.chunks_mut(words)) {
            for (bytes, word) in image.chunks(4).zip(row) {
                let mut four = [0; 4];
                four[..bytes.len()].copy_from_slice(bytes);
                *word = i32::from_le_bytes(four);
            }
        }
        let labels: Vec<i32> = split.labels.iter().map(|&label| i32::from(label)).collect();
        let [mean, std] = normalization.tensors(device);
        Self {
            packed: Tensor::from_data(TensorData::new(packed, [len, words]), device),
            labels: Tensor::from_data(TensorData::new(labels, [len]), device),
            shape: split.shape,
            channels,
            mean,
            std,
            len,
        }
    }

    /// A copy of the split on another device.
    pub fn to_device(&self, device: &Device) -> Self {
        Self {
            packed: self.packed.clone().to_device(device),
            labels: self.labels.clone().to_device(device),
            mean: self.mean.clone().to_device(device),
            std: self.std.clone().to_device(device),
            ..*self
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Height and width of an image.
    pub fn size(&self) -> [usize; 2] {
        [self.shape[1], self.shape[2]]
    }

    /// The images at `indices` `[b]`, normalised, `[b, channels, h, w]`, and their labels `[b]`.
    pub fn batch(&self, indices: &[usize]) -> (Tensor<4>, Tensor<1, Int>) {
        let indices = self.positions(indices);
        let images = self.repeat(self.normalise(self.pixels(&indices)));
        (images, self.labels.clone().select(0, indices))
    }

    /// The images at `indices` `[b]`, image i changed by draw i of `draws`, normalised, `[b, channels, h, w]`, and
    /// their labels `[b]`.
    pub fn augmented(&self, indices: &[usize], draws: &Draws) -> (Tensor<4>, Tensor<1, Int>) {
        let indices = self.positions(indices);
        let pixels = augment::change_strokes(self.pixels(&indices), draws);
        let pixels = augment::move_pixels(pixels, draws);
        let images = augment::cut_out(self.normalise(pixels), draws);
        (self.repeat(images), self.labels.clone().select(0, indices))
    }

    fn positions(&self, indices: &[usize]) -> Tensor<1, Int> {
        let positions: Vec<i32> = indices.iter().map(|&i| i as i32).collect();
        let data = TensorData::new(positions, [indices.len()]);
        Tensor::from_data(data, &self.labels.device())
    }

    /// Pixels 0 … 255 of the images at `indices`, `[b, c, h, w]`.
    fn pixels(&self, indices: &Tensor<1, Int>) -> Tensor<4> {
        let [b] = indices.dims();
        let words = self.packed.clone().select(0, indices.clone());
        let byte = |shift: i32| {
            words
                .clone()
                .bitwise_right_shift_scalar(shift)
                .bitwise_and_scalar(255)
                .unsqueeze_dim::<3>(2)
        };
        let bytes = Tensor::cat(vec![byte(0), byte(8), byte(16), byte(24)], 2).flatten::<2>(1, 2);
        let [c, h, w] = self.shape;
        bytes.narrow(1, 0, c * h * w).float().reshape([b, c, h, w])
    }

    fn normalise(&self, pixels: Tensor<4>) -> Tensor<4> {
        (pixels - self.mean.clone()) / self.std.clone()
    }

    /// Copies the one channel of grey images to all channels of the model.
    fn repeat(&self, images: Tensor<4>) -> Tensor<4> {
        if self.shape[0] == self.channels {
            images
        } else {
            images.repeat_dim(1, self.channels)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_the_normalised_pixels() {
        // Five pixels do not fill two integers: the padding must not show. The pixel 255 sets the sign bit.
        let images = vec![0, 255, 128, 7, 200, 1, 2, 3, 4, 255];
        let split = Split {
            images: images.clone(),
            labels: vec![3, 1],
            shape: [1, 1, 5],
        };
        let normalization = Normalization {
            mean: vec![0.1307],
            std: vec![0.3081],
        };
        for device in [Device::flex(), Device::flex().autodiff()] {
            let on_device = DeviceSplit::new(&split, &normalization, 3, &device);
            let (batch, labels) = on_device.batch(&[1, 0]);
            assert_eq!(batch.dims(), [2, 3, 1, 5]);
            assert_eq!(labels.into_data().iter::<i64>().collect::<Vec<_>>(), [1, 3]);
            let values = batch.into_data().try_to_vec::<f32>().unwrap();
            for (k, value) in values.iter().enumerate() {
                let (image, pixel) = (1 - k / 15, k % 5);
                let expected = (f32::from(images[image * 5 + pixel]) / 255.0 - 0.1307) / 0.3081;
                // The tolerance covers two roundings of numbers below 3.
                assert!(
                    (value - expected).abs() < 1e-6,
                    "{value} against {expected}"
                );
            }
        }
    }
}
