//! Draws latent space with wgpu: the walk from noise to a label, the cloud of walks from other noise seeds, and the
//! velocity field behind them.
//!
//! The latents of a walk are uploaded once. The vertex shader of `shaders/walk.wgsl` projects them onto the plane,
//! interpolates between steps and fades the trail; `shaders/field.wgsl` draws the field in one pass over the pixels. So
//! for a frame the host only writes one small uniform.
//!
//! In the page the renderer runs in a worker of its own. Page and worker exchange the [`message`]s of this crate:
//!
//! ```
//! use noprop_stage::message::Order;
//!
//! // A latent space of two dimensions that is its own plane, then a walk of one step from (0, 0) to (1, 0).
//! let orders = [
//!     Order::Plane { axes: vec![1.0, 0.0, 0.0, 1.0], centre: vec![0.0, 0.0], half: 1.0 },
//!     Order::Walk { second: false, latents: vec![0.0, 0.0, 1.0, 0.0], classes: vec![3], steps: 1 },
//! ];
//! assert!(matches!(orders[1], Order::Walk { steps: 1, .. }));
//! ```
//!
//! With the feature `render` the crate draws natively, too: a `Renderer` is made for a wgpu device and a texture
//! format, takes the same data by `set_style`, `set_plane`, `set_walk` and `set_field`, and draws a `Frame` on a
//! texture.

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
pub use scene::{Arrow, Field, Frame, Plane, RecordedWalks, Style, WalkRole};

/// The WGSL of the disc and the field.
#[cfg(feature = "render")]
const FIELD: &str = concat!(
    include_str!("../../../shaders/stage.wgsl"),
    include_str!("../../../shaders/field.wgsl")
);
/// The WGSL of the walks.
#[cfg(feature = "render")]
const WALKS: &str = concat!(
    include_str!("../../../shaders/stage.wgsl"),
    include_str!("../../../shaders/walk.wgsl")
);
