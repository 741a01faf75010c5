//! What the page and its worker say to each other.
//!
//! Messages travel as postcard bytes in a transferred `ArrayBuffer`: typed on both sides, no copy.
//! Every array is flat and row-major; its shape is in the field's comment. m = classes,
//! d = latent dimension, T = steps, S = noise seeds. One request, one answer, but for the two that
//! report progress ([`Request::Start`] and [`Request::Accuracy`]).

use noprop_core::SamplerKind;
use serde::{Deserialize, Serialize};

use crate::bundled::Bundled;

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Burn's CPU backend, compiled to WASM.
    Cpu,
    /// Burn's wgpu backend on the browser's WebGPU.
    WebGpu,
}

/// How to walk from noise to a label.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Walk {
    /// The sampler.
    pub sampler: SamplerKind,
    /// T, 1 … 200.
    pub steps: u32,
    /// Seed of z_0: the main trajectory is image 0 of this seed, cloud member i image i.
    pub seed: u64,
    /// Factor on z_0, 0 … 1.5; 1 is what the model was trained for.
    pub temperature: f32,
}

/// Page → worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Fetch the weights and the test images, prepare the model, test the backend.
    Start {
        /// Address of the weights, relative to the page.
        weights_url: String,
        /// Expected sha256 of the weights, lowercase hexadecimal.
        weights_sha256: String,
        /// The test images to fetch with them; none for `noprop check`, which brings its own.
        images: Option<Bundled>,
        /// Why this backend was chosen, to be shown with it.
        reason: String,
    },
    /// Replace the model by the bytes of a user's `model.safetensors`.
    Load {
        /// The file.
        bytes: Vec<u8>,
        /// Its name.
        name: String,
    },
    /// Walk one image from noise to a label.
    Trace {
        /// Echoed in the answer; the page drops answers that are out of date.
        id: u32,
        /// The image, `[c, h, w]` of [`Ready::shape`].
        pixels: Vec<u8>,
        /// How.
        walk: Walk,
        /// S ≥ 1: the main trajectory and S − 1 more noise seeds.
        seeds: u32,
    },
    /// The velocity field of an image around one state of the walk.
    Field {
        /// Echoed.
        id: u32,
        /// As in [`Request::Trace`].
        pixels: Vec<u8>,
        /// The time.
        t: f32,
        /// `[d, 2]`: orthonormal columns that span the plane that is shown.
        axes: Vec<f32>,
        /// `[d]`: the point of latent space at the plane's origin.
        origin: Vec<f32>,
        /// Where to look, in the plane's coordinates, `[n, 2]`.
        points: Vec<f32>,
    },
    /// Accuracy over the bundled test images, reported as it grows.
    Accuracy {
        /// Echoed; a request with another id or `Cancel` ends this one.
        id: u32,
        /// How; image i starts from the noise of image i, as on the command line.
        walk: Walk,
    },
    /// Stop the running [`Request::Accuracy`].
    Cancel,
    /// The numbers that `noprop check` compares.
    Check {
        /// `[n, c, h, w]`, c h w of [`Ready::shape`]; normalisation is the model's.
        pixels: Vec<u8>,
        /// Walks to compare; temperature 1.
        walks: Vec<Walk>,
    },
}

/// Worker → page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The worker listens. Requests before this would be lost.
    Listening,
    /// Bytes of the weights so far.
    Loading {
        /// Received.
        received: u64,
        /// Expected, where the server says.
        total: Option<u64>,
    },
    /// The model is ready.
    Ready(Box<Ready>),
    /// Answer to [`Request::Trace`].
    Trace(Box<Trace>),
    /// Answer to [`Request::Field`].
    Field(Box<Field>),
    /// Progress of, and answer to, [`Request::Accuracy`].
    Accuracy(Box<AccuracyProgress>),
    /// Answer to [`Request::Check`].
    Check(Box<CheckNumbers>),
    /// Something failed. The page shows the sentence.
    Error {
        /// One sentence: what was expected, what was found, what to do.
        message: String,
        /// Whether the worker is unusable from now on (device lost, panic, failed self-test): the page then
        /// starts the CPU worker instead.
        fatal: bool,
    },
}

/// A model that is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// What computes.
    pub backend: Backend,
    /// Why, in one sentence.
    pub reason: String,
    /// Names of the classes, m.
    pub classes: Vec<String>,
    /// Shape of an image as it is sent: channels, height, width. One channel is grey, three are RGB.
    pub shape: [u32; 3],
    /// d.
    pub latent_dim: u32,
    /// Class embeddings `[m, d]`.
    pub embeddings: Vec<f32>,
    /// Whether embeddings are the unit vectors.
    pub one_hot: bool,
    /// Parameters of the model.
    pub parameters: u64,
    /// Where the weights came from: "cache", "network" or a file's name.
    pub weights_from: String,
    /// Whether they are the ones that come with the page.
    pub bundled: bool,
    /// λ = log SNR at 101 times 0, 0.01, …, 1.
    pub log_snr: Vec<f32>,
    /// Whether it is flow matching's, whose walks go along t rather than λ.
    pub is_flow: bool,
    /// The samplers that walk it.
    pub samplers: Vec<SamplerKind>,
    /// T, where it walks in that many steps only: the blocks of NoProp-DT.
    pub steps: Option<u32>,
    /// This backend against the CPU on 16 images; absent on the CPU itself, and without test images.
    pub self_test: Option<SelfTest>,
    /// The bundled test images `[n, c, h, w]`; sent once, empty after [`Request::Load`].
    pub images: Vec<u8>,
    /// Their labels, n.
    pub labels: Vec<u8>,
    /// Milliseconds to load and prepare.
    pub load_ms: f64,
    /// Milliseconds of the first, compiling pass.
    pub warm_up_ms: f64,
}

/// Result of the start-up self-test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// Images compared.
    pub images: u32,
    /// Largest absolute difference of class probabilities after a walk of DDIM, T = 10.
    pub max_difference: f32,
    /// Predictions that agree.
    pub agreeing: u32,
    /// Whether it passed.
    pub passed: bool,
}

/// A walk from noise to a label. Index 0 of S is the main trajectory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Of the request.
    pub id: u32,
    /// z_t, `[S, T + 1, d]`.
    pub latents: Vec<f32>,
    /// Class probabilities of the output head at each z_t of the main trajectory, `[T + 1, m]`.
    pub probabilities: Vec<f32>,
    /// What the denoiser believes at each z_t of the main trajectory, `[T + 1, m]`.
    pub beliefs: Vec<f32>,
    /// Predicted class of each seed, S.
    pub predictions: Vec<u32>,
    /// The times t_k, T + 1.
    pub times: Vec<f32>,
    /// ᾱ at those times, T + 1.
    pub alpha_bar: Vec<f32>,
    /// λ = log SNR at those times, T + 1.
    pub log_snr: Vec<f32>,
    /// Milliseconds of the backbone.
    pub features_ms: f64,
    /// Milliseconds of the walk of all S seeds, read-back included.
    pub walk_ms: f64,
}

/// Samples of the velocity field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Of the request.
    pub id: u32,
    /// dz/dλ in the plane's coordinates, `[n, 2]`.
    pub velocity: Vec<f32>,
    /// Class that the denoiser believes at each point, n.
    pub belief: Vec<u32>,
}

/// Accuracy so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccuracyProgress {
    /// Of the request.
    pub id: u32,
    /// Images done.
    pub done: u32,
    /// Images in all.
    pub total: u32,
    /// Correct predictions.
    pub correct: u32,
    /// Wilson's 95 % interval, percent.
    pub interval: (f64, f64),
    /// `[m, m]`, rows are true classes.
    pub confusion: Vec<u32>,
    /// Milliseconds so far.
    pub ms: f64,
    /// Whether this is the last report.
    pub finished: bool,
}

/// What `noprop check` gives a page that was opened at `#check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckTask {
    /// sha256 of the weights, which are at [`CheckTask::WEIGHTS`].
    pub weights_sha256: String,
    /// A [`Request::Check`].
    pub request: Request,
}

impl CheckTask {
    /// Where the page fetches the task.
    pub const TASK: &str = "check/task";
    /// Where it fetches the weights.
    pub const WEIGHTS: &str = "check/weights";
    /// Where it posts a [`CheckResult`] for each backend, and at last an empty body.
    pub const RESULT: &str = "check/result";
}

/// What the page answers for one backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// What computed.
    pub backend: Backend,
    /// Name of the adapter, or why there is none.
    pub adapter: String,
    /// The numbers, or why there are none.
    pub numbers: Result<CheckNumbers, String>,
}

/// The numbers that `noprop check` compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckNumbers {
    /// What computed.
    pub backend: Backend,
    /// Backbone's output `[n, embed_dim]`.
    pub features: Vec<f32>,
    /// Per walk: z_1 `[n, d]` and head logits `[n, m]`.
    pub walks: Vec<WalkNumbers>,
    /// Milliseconds in all.
    pub ms: f64,
}

/// End of one walk.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WalkNumbers {
    /// z_1, `[n, d]`.
    pub latents: Vec<f32>,
    /// Head logits, `[n, m]`.
    pub logits: Vec<f32>,
}

/// A message as bytes.
///
/// # Errors
/// Never for the types here; postcard's signature.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_stdvec(message)
}

/// The message in `bytes`.
///
/// # Errors
/// When they are no such message: page and worker are of different builds.
pub fn decode<'a, M: Deserialize<'a>>(bytes: &'a [u8]) -> Result<M, postcard::Error> {
    postcard::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_trip() {
        let request = Request::Trace {
            id: 7,
            pixels: vec![0, 255, 3],
            walk: Walk {
                sampler: SamplerKind::ReferenceHeun,
                steps: 40,
                seed: u64::MAX,
                temperature: 0.5,
            },
            seeds: 64,
        };
        let bytes = encode(&request).expect("encodes");
        assert_eq!(decode::<Request>(&bytes), Ok(request));
        assert!(decode::<Request>(&bytes[..bytes.len() - 1]).is_err());
    }
}
