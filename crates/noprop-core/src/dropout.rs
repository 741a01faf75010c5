//! Dropout: a value becomes zero with probability p and is divided by 1 − p otherwise.

use core::ops::Range;

use burn::nn::DropoutConfig;
use burn::tensor::{Tensor, TensorData};

use crate::noise::{NoiseSource, Purpose};

/// The source of the dropout masks of a batch.
#[derive(Debug, Clone, Default)]
pub enum Dropout {
    /// No dropout, for evaluation.
    #[default]
    Off,
    /// The random generator of the device, which [`seeded`](crate::seeded) seeds. A GPU then needs no masks
    /// from the host.
    Device,
    /// A stream of random numbers for each image. The masks of an image do not depend on the other images of
    /// the batch, and threads share nothing.
    Streams(Vec<NoiseSource>),
}

impl Dropout {
    /// The streams of the images `rows` of the batch of training step `step`.
    pub fn streams(seed: u64, step: u64, rows: Range<usize>) -> Self {
        let stream = |row| NoiseSource::new(seed, Purpose::Dropout, (step << 24) | row as u64);
        Self::Streams(rows.map(stream).collect())
    }

    /// Applies dropout of probability `p` to `x` `[b, c, h, w]`.
    pub fn apply(&mut self, x: Tensor<4>, p: f64) -> Tensor<4> {
        match self {
            Self::Off => x,
            _ if p == 0.0 => x,
            Self::Device => DropoutConfig::new(p).init().forward(x),
            Self::Streams(streams) => {
                let dims = x.dims();
                let each = dims.iter().skip(1).product();
                let masks = streams.iter_mut().flat_map(|source| source.mask(each, p));
                let masks = TensorData::new(masks.collect::<Vec<_>>(), dims);
                let masks = Tensor::from_data(masks, &x.device());
                x * masks
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    const P: f64 = 0.2;

    fn dropped(mut dropout: Dropout, rows: usize) -> Vec<f32> {
        let ones = Tensor::ones([rows, 3, 20, 20], &Device::flex());
        let x = dropout.apply(ones, P);
        x.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_share_is_dropped_and_the_mean_stays() {
        let values = dropped(Dropout::streams(1, 0, 0..20), 20);
        let zeros = values.iter().filter(|&&x| x == 0.0).count() as f64;
        let n = values.len() as f64;
        // Four standard deviations of a binomial.
        assert!((zeros / n - P).abs() < 4.0 * (P * (1.0 - P) / n).sqrt());
        let kept = values.iter().filter(|&&x| x != 0.0);
        assert!(kept.copied().all(|x| x == 1.25));
    }

    #[test]
    fn masks_depend_on_the_image_and_the_step_alone() {
        let all = dropped(Dropout::streams(1, 7, 0..4), 4);
        let tail = dropped(Dropout::streams(1, 7, 2..4), 2);
        assert_eq!(all[2 * 1200..], tail[..]);
        assert_ne!(all, dropped(Dropout::streams(1, 8, 0..4), 4));
        assert_ne!(all[..1200], all[1200..2400]);
    }

    #[test]
    fn evaluation_drops_nothing() {
        assert!(dropped(Dropout::Off, 2).iter().all(|&x| x == 1.0));
    }
}
