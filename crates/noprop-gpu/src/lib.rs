//! Hand-written WGSL for NoProp. After the features, a walk of T steps evaluates a tiny network T
//! or 2T times; as single tensor operations it is mostly the launching of kernels. Here the whole
//! walk of a batch is one dispatch of [`shaders/ode_solve.wgsl`](solve_source).
//!
//! ```text
//! NoProp ──► SolverWeights ─┐ once a model
//! sampler, T ──► Plan ──────┼─► FusedSolver::solve(features' share, z_0) ──► z_1 [, trajectory]
//! Gpu ──────────────────────┘             ::estimate(features' share, z) ──► dz/dλ, probabilities
//! ```
//!
//! It has its own device and queue, apart from Burn's: numbers come in and go out as host floats,
//! read back once. Everything that waits is async, so that it runs in a page too; natively any
//! executor does. The reference is always the plain-tensor sampler
//! ([`noprop_core::sampler::Sampling::run_from`]).
#![warn(missing_docs)]

mod batch;
mod error;
mod gpu;
mod kernel;
mod plan;
mod readback;
mod sizes;
mod solver;
mod weights;

pub use error::GpuError;
pub use gpu::{AdapterChoice, Gpu};
pub use kernel::solve_source;
pub use plan::Plan;
pub use sizes::Sizes;
pub use solver::{Estimates, FusedSolver, Solution, Start};
pub use weights::SolverWeights;
