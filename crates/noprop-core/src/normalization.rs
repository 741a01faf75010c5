//! The normalisation of pixels: (pixel/255 − mean)/std in each channel.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// The mean and the standard deviation of each channel, of pixels scaled to [0, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// The mean of each channel.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel.
    pub std: Vec<f32>,
}

impl Normalization {
    /// The mean and the standard deviation of `pixels`: one or more images of `shape` (channels, height,
    /// width), one after the other.
    pub fn of(pixels: &[u8], shape: [usize; 3]) -> Self {
        let [channels, height, width] = shape;
        let (mut sums, mut squares) = (vec![0_u64; channels], vec![0_u64; channels]);
        for (index, plane) in pixels.chunks_exact(height * width).enumerate() {
            for &pixel in plane {
                let pixel = u64::from(pixel);
                sums[index % channels] += pixel;
                squares[index % channels] += pixel * pixel;
            }
        }
        let n = (pixels.len() / channels) as f64;
        let (mut mean, mut std) = (Vec::new(), Vec::new());
        for (sum, square) in sums.into_iter().zip(squares) {
            let average = sum as f64 / n;
            let variance = square as f64 / n - average * average;
            mean.push((average / 255.0) as f32);
            // Images are divided by this, so it is at least one step of a pixel (1/255), also if all pixels
            // are equal.
            std.push((variance.sqrt().max(1.0) / 255.0) as f32);
        }
        Self { mean, std }
    }

    /// The number of channels of an image. It is 1 for grey images; a model with more channels repeats them.
    pub fn channels(&self) -> usize {
        self.mean.len()
    }

    /// Checks that this normalisation fits a model whose images have `channels` channels. The error says what
    /// is wrong.
    pub(crate) fn check(&self, channels: usize) -> Result<(), String> {
        let (mean, std) = (self.mean.len(), self.std.len());
        if mean != std || (mean != 1 && mean != channels) {
            return Err(format!(
                "it normalises {mean} and {std} channels (by mean and by std), and the model has {channels} channels"
            ));
        }
        let is_number = |value: &f32| value.is_finite();
        let is_positive = |value: &f32| value.is_finite() && *value > 0.0;
        if !self.mean.iter().all(is_number) || !self.std.iter().all(is_positive) {
            return Err("mean and std must be numbers, and std positive".to_owned());
        }
        Ok(())
    }

    /// The mean and the standard deviation on the scale of pixels, 0 … 255, each `[1, c, 1, 1]`.
    pub fn tensors(&self, device: &Device) -> [Tensor<4>; 2] {
        [&self.mean, &self.std].map(|values| {
            let values: Vec<f32> = values.iter().map(|v| v * 255.0).collect();
            let c = values.len();
            Tensor::from_data(TensorData::new(values, [1, c, 1, 1]), device)
        })
    }
}
