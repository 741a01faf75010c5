//! The messages between the page, the worker that computes for it, and `noprop check --browser`.
//!
//! The page sends a [`Request`] to its worker and gets a [`Response`]. One request has one response;
//! [`Request::Start`] and [`Request::Accuracy`] also report progress. `noprop check --browser` serves a
//! [`CheckTask`] to the page and receives a [`CheckResult`] for each backend of the browser.
//!
//! A message travels as [postcard](https://docs.rs/postcard) bytes in a transferred `ArrayBuffer`, so it is
//! typed at both ends and is not copied on the way. Arrays are flat and row-major; the comment of a field
//! states its shape, in which m = classes, d = latent dimension, T = steps, S = noise seeds.
//!
//! ```
//! use noprop_protocol::{Request, Walk, decode, encode};
//!
//! let request = Request::Walk {
//!     id: 1,
//!     pixels: vec![0; 28 * 28],
//!     walk: Walk {
//!         sampler: "heun".parse()?,
//!         steps: 20,
//!         seed: 0,
//!         temperature: 1.0,
//!     },
//!     seeds: 64,
//! };
//! let bytes = encode(&request)?;
//! assert_eq!(decode::<Request>(&bytes)?, request);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The end-to-end tests speak to a worker from JavaScript. They read the layout of the messages from
//! `tests/e2e/protocol.json`, and a test of this crate compares that file with the types.

#![warn(missing_docs)]

mod message;

use serde::{Deserialize, Serialize};

pub use message::{
    AccuracyProgress, Backend, CheckNumbers, CheckResult, CheckTask, Field, Ready, Recommended,
    Request, Response, SelfTest, Walk, WalkNumbers, Walked,
};

/// Encodes a message as bytes.
///
/// # Errors
/// Never for the types of this crate; the result has the type that postcard's function has.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_stdvec(message)
}

/// Decodes the message in `bytes`.
///
/// # Errors
/// When `bytes` hold no such message: sender and receiver are of different builds.
pub fn decode<'a, M: Deserialize<'a>>(bytes: &'a [u8]) -> Result<M, postcard::Error> {
    postcard::from_bytes(bytes)
}
