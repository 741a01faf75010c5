//! Random numbers: seeded noise that is bit-identical on every device and in the page, and the seeding of the
//! generator that burn keeps for each device.
//!
//! A counter-based generator (ChaCha8) is keyed by the seed and a purpose, and its stream is
//! chosen by a counter: the index of an image, or of a training step. Any draw can be made
//! without making those before it. Normal deviates come from Box–Muller with pure-Rust `libm`,
//! since the C library's logarithm and cosine differ between platforms.

use std::sync::{Mutex, PoisonError};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The purpose of a stream of noise; different purposes never share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The start z_0 of a walk; a stream for each image.
    Sampling,
    /// The noise of ancestral sampling; a stream for each image.
    Ancestral,
    /// The times t and the noise ε and ε′ of training; a stream for each step.
    Training,
    /// The order of the training images; a stream for each epoch.
    Shuffling,
    /// Initial class embeddings and other draws made once.
    Initialising,
    /// The augmentation of the training images; a stream for each step.
    Augmenting,
    /// The choice of the block of NoProp-DT that a step trains; a stream for each step.
    Blocks,
    /// The masks of dropout; a stream for each step and place in the batch.
    Dropout,
}

/// A stream of uniform and normal random numbers.
#[derive(Debug, Clone)]
pub struct NoiseSource {
    rng: ChaCha8Rng,
}

impl NoiseSource {
    /// The stream with number `counter` of `seed` for `purpose`.
    pub fn new(seed: u64, purpose: Purpose, counter: u64) -> Self {
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = purpose as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(counter);
        Self { rng }
    }

    /// Draws `n` numbers, uniform in [0, 1).
    pub fn uniform(&mut self, n: usize) -> Vec<f32> {
        // 24 bits: every value is exact in f32, and 1.0 cannot occur.
        (0..n)
            .map(|_| (self.rng.next_u32() >> 8) as f32 / 16_777_216.0)
            .collect()
    }

    /// Draws `n` standard normal numbers.
    pub fn normal(&mut self, n: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(n + 1);
        while out.len() < n {
            let [a, b] = self.normal_pair();
            out.push(a);
            out.push(b);
        }
        out.truncate(n);
        out
    }

    /// Draws a tensor of `shape` of standard normal numbers, row-major.
    pub fn normal_tensor<const D: usize>(
        &mut self,
        shape: [usize; D],
        device: &Device,
    ) -> Tensor<D> {
        let values = self.normal(shape.iter().product());
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Draws a mask of dropout: `n` values that are 0 with probability `p` (rounded to 2⁻¹⁶) and 1/(1 − p)
    /// otherwise.
    pub fn mask(&mut self, n: usize, p: f64) -> Vec<f32> {
        let mut bytes = vec![0; 2 * n];
        self.rng.fill_bytes(&mut bytes);
        let limit = (p * 65_536.0) as u16;
        let kept = (1.0 / (1.0 - p)) as f32;
        let value = |pair: &[u8]| match u16::from_le_bytes([pair[0], pair[1]]) < limit {
            true => 0.0,
            false => kept,
        };
        bytes.chunks_exact(2).map(value).collect()
    }

    /// Draws a permutation of `0..n` (Fisher–Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            // The bias of the multiply-shift reduction is below n / 2⁶⁴.
            let j = ((u128::from(self.rng.next_u64()) * (i as u128 + 1)) >> 64) as usize;
            order.swap(i, j);
        }
        order
    }

    fn normal_pair(&mut self) -> [f32; 2] {
        const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
        // u lies in (0, 1], so that its logarithm is finite.
        let u = ((self.rng.next_u64() >> 11) + 1) as f64 * SCALE;
        let v = (self.rng.next_u64() >> 11) as f64 * SCALE;
        let radius = libm::sqrt(-2.0 * libm::log(u));
        let angle = core::f64::consts::TAU * v;
        [
            (radius * libm::cos(angle)) as f32,
            (radius * libm::sin(angle)) as f32,
        ]
    }
}

/// The initial latents z_0 of the images `first .. first + count`, `[count, dim]` row-major.
///
/// Row i depends only on the seed and on the index `first + i`, not on the batch.
pub fn initial_latents(seed: u64, first: usize, count: usize, dim: usize) -> Vec<f32> {
    (first..first + count)
        .flat_map(|image| NoiseSource::new(seed, Purpose::Sampling, image as u64).normal(dim))
        .collect()
}

/// The noise that walks of ancestral sampling draw for the images `first .. first + count` in all steps,
/// `[steps, count, dim]` row-major.
pub fn ancestral_noise(
    seed: u64,
    first: usize,
    count: usize,
    steps: usize,
    dim: usize,
) -> Vec<f32> {
    let mut streams = ancestral_streams(seed, first, count);
    let mut values = Vec::with_capacity(steps * count * dim);
    for _ in 0..steps {
        for stream in &mut streams {
            values.extend(stream.normal(dim));
        }
    }
    values
}

/// One stream of ancestral noise for each of the images `first .. first + count`.
pub(crate) fn ancestral_streams(seed: u64, first: usize, count: usize) -> Vec<NoiseSource> {
    (first..first + count)
        .map(|image| NoiseSource::new(seed, Purpose::Ancestral, image as u64))
        .collect()
}

/// The lock that lets one thread at a time use the generator of a device.
static TURN: Mutex<()> = Mutex::new(());

/// Runs `draw` while the random generator of `device` is seeded by `seed`, and returns its result. A process
/// has one generator for each device, so calls from several threads run one after the other. Initial weights
/// and the dropout of a GPU come from this generator; all other noise comes from a [`NoiseSource`].
///
/// `draw` must not call `seeded` again: it would wait for itself.
pub fn seeded<T>(device: &Device, seed: u64, draw: impl FnOnce() -> T) -> T {
    // The lock guards no data, so a panic elsewhere leaves nothing half done.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    device.seed(seed);
    draw()
}

/// A module whose initial weights depend on `seed` alone. They are drawn at once, in the order of the
/// parameters; burn by itself draws a parameter when it is first used.
pub(crate) fn initialised<M: Module>(device: &Device, seed: u64, new: impl FnOnce() -> M) -> M {
    seeded(device, seed, || {
        let module = new();
        module.visit(&mut Draw);
        module
    })
}

/// A visitor that makes burn draw the initial values of each parameter.
struct Draw;

impl ModuleVisitor for Draw {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, ModelConfig, NoProp};

    #[test]
    fn z_0_does_not_depend_on_the_batch() {
        let all = initial_latents(7, 0, 5, 3);
        let tail = initial_latents(7, 3, 2, 3);
        assert_eq!(&all[9..], &tail[..]);
        assert_ne!(initial_latents(8, 0, 5, 3), all);
    }

    #[test]
    fn z_0_is_the_same_everywhere() {
        // Recorded once; a change here would change every published walk.
        let bits: Vec<u32> = initial_latents(0, 0, 1, 4)
            .iter()
            .map(|v| v.to_bits())
            .collect();
        assert_eq!(bits, RECORDED);
    }
    const RECORDED: [u32; 4] = [3_201_245_875, 3_202_388_553, 1_067_558_496, 1_066_615_385];

    #[test]
    fn moments_are_those_of_a_standard_normal() {
        let n = 200_000;
        let draws = NoiseSource::new(1, Purpose::Training, 0).normal(n);
        let moment = |k: i32| draws.iter().map(|&v| f64::from(v).powi(k)).sum::<f64>() / n as f64;
        // Standard errors: 1/√n = 0.0022, √2/√n = 0.0032, √96/√n = 0.022; four of each.
        assert!(moment(1).abs() < 0.009);
        assert!((moment(2) - 1.0).abs() < 0.013);
        assert!((moment(4) - 3.0).abs() < 0.09);
    }

    #[test]
    fn a_permutation_holds_each_index_once() {
        let mut order = NoiseSource::new(3, Purpose::Shuffling, 9).permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn threads_do_not_disturb_each_other() {
        let device = Device::flex();
        let logits = || {
            let model =
                NoProp::new(&Method::default(), &ModelConfig::default(), 5, &device).unwrap();
            let z = Tensor::ones([2, model.config().latent_dim()], &device);
            let features = model.features(Tensor::ones([2, 1, 28, 28], &device));
            model.estimate(&features, z, 0.0).logits.into_data()
        };
        let alone = logits();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(logits)).collect();
            for one in all {
                assert_eq!(one.join().unwrap(), alone);
            }
        });
    }
}
