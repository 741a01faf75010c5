//! The types of the messages: first those between the page and its worker, then those between `noprop check`
//! and the page.

use noprop_core::{Sampler, Views};
use serde::{Deserialize, Serialize};

/// A backend of the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Burn's CPU backend, compiled to WASM.
    Cpu,
    /// Burn's wgpu backend on the browser's WebGPU.
    WebGpu,
}

/// The settings of a walk from z_0 to z_1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Walk {
    /// The sampler, which a message holds by its name.
    pub sampler: Sampler,
    /// The number of steps T, 1 … 200.
    pub steps: u32,
    /// The seed of the noise. In [`Request::Walk`] the main walk starts from the noise of image 0 of this
    /// seed, and walk i of the cloud from the noise of image i.
    pub seed: u64,
    /// Factor on z_0, 0 … 4: with 1 the walk starts from noise, with 0 from its mean.
    pub temperature: f32,
}

/// A message from the page to the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Fetch the weights and the test images, prepare the model, test the backend.
    Start {
        /// Address of the weights, relative to the page.
        weights_url: String,
        /// Expected sha256 of the weights, lowercase hexadecimal.
        weights_sha256: String,
        /// Name of the bundled dataset whose test images to fetch; none for `noprop check`, which brings its
        /// own images.
        dataset: Option<String>,
        /// The reason for this backend, in one sentence; it comes back in [`Ready::reason`].
        reason: String,
    },
    /// Replace the model by the one in a user's `model.safetensors`.
    Load {
        /// Contents of the file.
        bytes: Vec<u8>,
        /// Name of the file.
        name: String,
    },
    /// Walk one image from noise to a label.
    Walk {
        /// A number that comes back in the response; the page drops responses that are out of date.
        id: u32,
        /// The image, `[c, h, w]` of [`Ready::shape`].
        pixels: Vec<u8>,
        /// The settings of the walks.
        walk: Walk,
        /// The number S ≥ 1 of walks: the main walk, and S − 1 walks from other noise.
        seeds: u32,
    },
    /// Compute the velocity field of an image around one state of its walk.
    Field {
        /// A number that comes back in the response.
        id: u32,
        /// The image, as in [`Request::Walk`].
        pixels: Vec<u8>,
        /// The time t, 0 … 1.
        t: f32,
        /// The axes of the plane that is shown, orthonormal columns of `[d, 2]`.
        axes: Vec<f32>,
        /// The point of latent space at the origin of the plane, `[d]`.
        origin: Vec<f32>,
        /// The points at which to compute the velocity, in the coordinates of the plane, `[n, 2]`.
        points: Vec<f32>,
    },
    /// Measure the accuracy over the bundled test images, with the votes and views of [`Recommended`], and
    /// report it as it grows.
    Accuracy {
        /// A number that comes back in the reports; a request with another id ends this one.
        id: u32,
        /// The settings of the walks; image i starts from the noise of image i, as on the command line.
        walk: Walk,
    },
    /// Stop the running [`Request::Accuracy`].
    Cancel,
    /// Compute the numbers that `noprop check` compares.
    Check {
        /// The images `[n, c, h, w]`, with c, h, w of [`Ready::shape`]. The model's own normalisation is applied.
        pixels: Vec<u8>,
        /// The walks to compare.
        walks: Vec<Walk>,
    },
}

/// A message from the worker to the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The worker listens. A request that is sent before this response would be lost.
    Listening,
    /// The weights are being fetched.
    Loading {
        /// Bytes received so far.
        received: u64,
        /// Bytes expected, where the server says how many.
        total: Option<u64>,
    },
    /// The model is ready.
    Ready(Box<Ready>),
    /// Response to [`Request::Walk`].
    Walk(Box<Walked>),
    /// Response to [`Request::Field`].
    Field(Box<Field>),
    /// Progress and end of [`Request::Accuracy`].
    Accuracy(Box<AccuracyProgress>),
    /// Response to [`Request::Check`].
    Check(Box<CheckNumbers>),
    /// The response to a request that failed, or a failure of the worker.
    Error {
        /// One sentence for the user: what was expected, what was found, what to do.
        message: String,
        /// Whether the worker is unusable from now on (device lost, panic, failed self-test). The page then
        /// starts the CPU worker instead.
        fatal: bool,
    },
}

/// A model that is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// The backend that computes.
    pub backend: Backend,
    /// The reason for this backend, in one sentence.
    pub reason: String,
    /// Names of the m classes.
    pub classes: Vec<String>,
    /// Shape of an image in a request: channels, height, width. One channel is grey, three are RGB.
    pub shape: [u32; 3],
    /// The latent dimension d.
    pub latent_dim: u32,
    /// Class embeddings `[m, d]`.
    pub embeddings: Vec<f32>,
    /// Whether the class embeddings are the unit vectors.
    pub one_hot: bool,
    /// Number of the model's parameters.
    pub parameters: u64,
    /// The source of the weights: "cache", "network" or a file's name.
    pub weights_from: String,
    /// Whether the weights are the bundled ones.
    pub bundled: bool,
    /// λ = log SNR at the 101 times 0, 0.01, …, 1.
    pub log_snr: Vec<f32>,
    /// Whether the walks of the model go along t rather than λ, as those of flow matching.
    pub is_flow: bool,
    /// The samplers that serve the model; a message holds their names.
    pub samplers: Vec<Sampler>,
    /// The only number of steps T in which the model walks, one step for each block; `None` if the model walks in any.
    pub steps: Option<u32>,
    /// The walk, votes and views that the weights recommend; `None` if they recommend nothing.
    pub recommended: Option<Recommended>,
    /// Comparison of the backend with the CPU on 16 images; none on the CPU itself, and without test images.
    pub self_test: Option<SelfTest>,
    /// The bundled test images `[n, c, h, w]`; empty after [`Request::Load`].
    pub images: Vec<u8>,
    /// Labels of the test images, n.
    pub labels: Vec<u8>,
    /// Milliseconds to load and prepare the model.
    pub load_ms: f64,
    /// Milliseconds of the first pass, in which kernels are compiled.
    pub warm_up_ms: f64,
}

impl Ready {
    /// Whether one walk of the image itself decides: the weights recommend neither votes nor views.
    pub fn asks_once(&self) -> bool {
        let recommended = self.recommended.as_ref();
        recommended.is_none_or(|it| it.votes <= 1 && it.views == Views::None)
    }
}

/// The walk, votes and views that weights recommend.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Recommended {
    /// The walk.
    pub walk: Walk,
    /// The number of walks of each image whose mean class probabilities decide.
    pub votes: u32,
    /// The views of each image whose mean class probabilities decide.
    pub views: Views,
}

/// Result of the self-test at start-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// Number of images compared.
    pub images: u32,
    /// Largest absolute difference of class probabilities after a walk of DDIM, T = 10.
    pub max_difference: f32,
    /// Number of equal predictions.
    pub agreeing: u32,
    /// Whether the test passed.
    pub passed: bool,
}

/// The walks of one image from noise to labels. The main walk has index 0 of S.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Walked {
    /// Id of the request.
    pub id: u32,
    /// The latents z_t, `[S, T + 1, d]`.
    pub latents: Vec<f32>,
    /// Class probabilities that z alone gives at each z_t of the main walk: Bayes' rule at its noise level on the way,
    /// the readout at the end, `[T + 1, m]`.
    pub probabilities: Vec<f32>,
    /// Class probabilities of the estimate û of the denoiser at each z_t of the main walk, `[T + 1, m]`.
    pub beliefs: Vec<f32>,
    /// Predicted class at the end of each walk, S.
    pub predictions: Vec<u32>,
    /// The times t_k, T + 1.
    pub times: Vec<f32>,
    /// ᾱ at those times, T + 1.
    pub alpha_bar: Vec<f32>,
    /// λ = log SNR at those times, T + 1.
    pub log_snr: Vec<f32>,
    /// Milliseconds of the backbone.
    pub features_ms: f64,
    /// Milliseconds of all S walks, read-back included.
    pub walk_ms: f64,
}

impl Walked {
    /// The number of steps T.
    pub fn steps(&self) -> usize {
        self.times.len().saturating_sub(1)
    }

    /// ᾱ and λ = log SNR at t_k; `None` if the model's method has no noise schedule.
    pub fn noise_at(&self, k: usize) -> Option<(f32, f32)> {
        Some((*self.alpha_bar.get(k)?, *self.log_snr.get(k)?))
    }
}

/// The velocity field at n points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Id of the request.
    pub id: u32,
    /// The derivative dz/dλ (dz/dt for flow matching) in the coordinates of the plane, `[n, 2]`.
    pub velocity: Vec<f32>,
    /// The class to which the denoiser gives the largest probability at each point, n.
    pub belief: Vec<u32>,
}

/// Accuracy over the test images so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccuracyProgress {
    /// Id of the request.
    pub id: u32,
    /// Number of images classified so far.
    pub done: u32,
    /// Number of images in all.
    pub total: u32,
    /// Number of correct predictions so far.
    pub correct: u32,
    /// Wilson's 95 % interval of the accuracy, percent.
    pub interval: (f64, f64),
    /// Confusion matrix `[m, m]`; rows are true classes.
    pub confusion: Vec<u32>,
    /// Milliseconds so far.
    pub ms: f64,
    /// Whether this is the last report.
    pub finished: bool,
}

/// The numbers that `noprop check` compares, for n images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckNumbers {
    /// The backend that computed them.
    pub backend: Backend,
    /// The backbone's output `[n, embed_dim]`.
    pub features: Vec<f32>,
    /// The end of each walk, in the order of [`Request::Check`].
    pub walks: Vec<WalkNumbers>,
    /// Milliseconds in all.
    pub ms: f64,
}

/// The end of one walk, for n images.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WalkNumbers {
    /// The final latents z_1, `[n, d]`.
    pub latents: Vec<f32>,
    /// Class logits of the readout at z_1, `[n, m]`.
    pub logits: Vec<f32>,
}

/// The task that `noprop check` gives to a page that was opened at `#check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckTask {
    /// sha256 of the weights that the server has at [`CheckTask::WEIGHTS`], lowercase hexadecimal.
    pub weights_sha256: String,
    /// The work of the page, a [`Request::Check`].
    pub request: Request,
}

impl CheckTask {
    /// The address from which the page fetches the task.
    pub const TASK: &str = "check/task";
    /// The address from which the page fetches the weights.
    pub const WEIGHTS: &str = "check/weights";
    /// The address to which the page posts a [`CheckResult`] for each backend, and at last an empty body.
    pub const RESULT: &str = "check/result";
}

/// The result of the page on one backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The backend.
    pub backend: Backend,
    /// Name of the WebGPU adapter, "WASM" for the CPU, empty if there is no adapter.
    pub adapter: String,
    /// The numbers, or one sentence that says why there are none.
    pub numbers: Result<CheckNumbers, String>,
}
