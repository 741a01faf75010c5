//! Walks of NoProp by hand-written WGSL, each in one GPU dispatch.
//!
//! After the features are computed, a walk of T steps evaluates a small denoiser T or 2T times. When tensor operations
//! run one by one, most of that time goes into launching kernels. In this crate one dispatch of
//! `shaders/ode_solve.wgsl` ([`solve_source`]) runs all steps of the walks of a whole batch. The crate serves models
//! whose process is diffusion in continuous time, and the samplers DDIM, Euler and Heun.
//!
//! ```text
//! NoProp ──────► SolverWeights ─┐ once a model
//! sampler, T ──► StepTables ────┼─► FusedSolver::solve(features' share, z_0) ──► z_1 [, z_0 … z_T]
//! Gpu ──────────────────────────┘   FusedSolver::estimate(features' share, z) ──► dz/dλ, probabilities
//! ```
//!
//! The solver has a device and queue of its own, apart from burn's: its input and output are numbers on the
//! host, and each request reads back once. Functions that wait are async, because a page cannot block;
//! natively any executor runs them, for example `pollster`. The tests compare the results with
//! [`noprop_core::NoProp::walk_from`], which walks by tensor operations.
//!
//! ```
//! use burn::tensor::Device;
//! use noprop_core::sampler::DDIM;
//! use noprop_core::{Method, ModelConfig, NoProp};
//! use noprop_gpu::{AdapterChoice, FusedSolver, Gpu, GpuError, SolverInput, SolverWeights, StepTables};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = NoProp::new(&Method::default(), &ModelConfig::default(), 0, &Device::flex())?;
//! // Neither the weights nor the tables need a GPU.
//! let weights = pollster::block_on(SolverWeights::from_model(&model))?;
//! let tables = pollster::block_on(StepTables::new(&model, DDIM, 20))?;
//! assert_eq!((weights.sizes().latent, tables.steps()), (10, 20));
//!
//! /// Walks one image, given its features' share `fused` `[1, hidden]`, from `z_0` `[1, d]` to z_1.
//! async fn walk(
//!     weights: SolverWeights,
//!     tables: &StepTables,
//!     fused: &[f32],
//!     z_0: &[f32],
//! ) -> Result<Vec<f32>, GpuError> {
//!     let gpu = Gpu::open(AdapterChoice::Fastest).await?;
//!     let solver = FusedSolver::new(&gpu, weights).await?;
//!     let input = SolverInput { fused, z_0, record: false };
//!     Ok(solver.solve(tables, input).await?.z_1)
//! }
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod error;
mod gpu;
mod kernel;
mod model;
mod request;
mod solver;

pub use error::GpuError;
pub use gpu::{AdapterChoice, Gpu};
pub use kernel::solve_source;
pub use model::{Sizes, SolverWeights, StepTables};
pub use solver::{Estimates, FusedSolver, SolverInput, WalkResult};
