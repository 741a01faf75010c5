//! Draws label space with wgpu: the walk of a label from noise, the cloud of other noise seeds, the
//! velocity field behind them.
//!
//! Latents are uploaded once for each walk, as the sampler left them; projection onto the plane,
//! interpolation between steps and fading are the vertex shader's (`shaders/trajectory.wgsl`), the
//! field is one pass over the pixels (`shaders/field.wgsl`). A frame costs the host one uniform.
//!
//! In the page it runs in a worker of its own, apart from the engine's, which may compute for longer
//! than a frame; page and worker speak in [`message`]s.

#![warn(missing_docs)]

pub mod message;
#[cfg(feature = "render")]
mod pipelines;
#[cfg(feature = "render")]
mod renderer;
#[cfg(feature = "render")]
mod scene;
#[cfg(test)]
#[cfg(feature = "render")]
mod shader_tests;
#[cfg(all(feature = "worker", target_arch = "wasm32"))]
pub mod worker;

#[cfg(feature = "render")]
pub use renderer::Renderer;
#[cfg(feature = "render")]
pub use scene::{Arrow, Field, Frame, Plane, Style, Walk, Which};

/// The disc and the field.
#[cfg(feature = "render")]
const FIELD: &str = concat!(
    include_str!("../../../shaders/stage.wgsl"),
    include_str!("../../../shaders/field.wgsl")
);
/// The walks.
#[cfg(feature = "render")]
const TRAJECTORY: &str = concat!(
    include_str!("../../../shaders/stage.wgsl"),
    include_str!("../../../shaders/trajectory.wgsl")
);
