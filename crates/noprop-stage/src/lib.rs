//! Draws label space with wgpu: the walk of a label from noise, the cloud of other noise seeds, the
//! velocity field behind them.
//!
//! Latents are uploaded once for each walk, as the sampler left them; projection onto the plane,
//! interpolation between steps and fading are the vertex shader's (`shaders/trajectory.wgsl`), the
//! field is one pass over the pixels (`shaders/field.wgsl`). A frame costs the host one uniform.

#![warn(missing_docs)]

mod pipelines;
mod renderer;
mod scene;
#[cfg(test)]
mod shader_tests;

pub use renderer::Renderer;
pub use scene::{Arrow, Field, Frame, Plane, Style, Walk, Which};

/// The disc and the field.
const FIELD: &str = concat!(
    include_str!("../../../shaders/stage.wgsl"),
    include_str!("../../../shaders/field.wgsl")
);
/// The walks.
const TRAJECTORY: &str = concat!(
    include_str!("../../../shaders/stage.wgsl"),
    include_str!("../../../shaders/trajectory.wgsl")
);
