//! What the page tells the worker that draws its stage, and what it hears back.
//!
//! Messages travel as postcard bytes; arrays are flat and row-major. After [`Answer::Ready`] the
//! page sends orders, and each picture comes back as an `ImageBitmap`.

use serde::{Deserialize, Serialize};

/// Red, green, blue; sRGB, 0 … 1.
pub type Colour = [f32; 3];

/// Page → worker. Each order holds until another one of its kind comes; d = latent dimension,
/// T = steps, S = noise seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// The theme.
    Style {
        /// The main walk.
        ink: Colour,
        /// What matters less.
        quiet: Colour,
        /// Rings.
        line: Colour,
        /// The disc.
        paper: Colour,
        /// One a class.
        hues: [Colour; 10],
    },
    /// The model: how its label space is shown. Takes walks and field away.
    Plane {
        /// `[d, 2]`, orthonormal columns.
        axes: Vec<f32>,
        /// `[d]`.
        centre: Vec<f32>,
        /// Distance that lands half-way to the rim.
        half: f32,
    },
    /// A walk, or none.
    Walk {
        /// Whether it is the one that the main one is compared with.
        second: bool,
        /// z_t, `[S, T + 1, d]`; empty for none.
        latents: Vec<f32>,
        /// The class at which each seed ends, S.
        classes: Vec<u32>,
        /// T.
        steps: u32,
    },
    /// The velocity field on a square grid over the disc.
    Field {
        /// Points along the diameter.
        grid: u32,
        /// dz/dλ in the plane's coordinates and the believed class; nothing outside of the disc.
        /// `[grid, grid]`, rows from the top.
        arrows: Vec<Option<([f32; 2], u32)>>,
    },
    /// Draw. A newer one replaces one that waits.
    Frame {
        /// Canvas size, device pixels.
        size: [u32; 2],
        /// Radius of the disc, device pixels.
        radius: f32,
        /// Device pixels per CSS pixel.
        ratio: f32,
        /// Part of the walk that is done, 0 … 1.
        share: f32,
        /// Whether the cloud is shown.
        cloud: bool,
        /// Whether the field is shown.
        field: bool,
    },
}

/// Worker → page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It waits for orders.
    Ready,
    /// It draws no more, and why. The page draws by itself.
    Failed(String),
}
