//! The messages between the page and the worker that draws its stage.
//!
//! Messages travel as postcard bytes; arrays are flat and row-major. After [`Answer::Ready`] the page sends
//! orders, and the worker posts each drawn frame as an `ImageBitmap`.

use serde::{Deserialize, Serialize};

/// A colour: red, green and blue in sRGB, each 0 … 1.
pub type Colour = [f32; 3];

/// A message from the page to the worker. Each order holds until another one of its kind comes. In the shapes
/// d is the latent dimension, T the number of steps and S the number of noise seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// Sets the colours of the theme and of the classes.
    Style {
        /// The colour of the main walk.
        ink: Colour,
        /// The colour of the second walk and of the arrows of the field.
        quiet: Colour,
        /// The colour of the rings.
        line: Colour,
        /// The colour of the disc.
        paper: Colour,
        /// The colours of the classes.
        hues: [Colour; 10],
    },
    /// Sets the plane in which the latent space of a model is shown, and removes walks and field.
    Plane {
        /// The two axes of the plane, orthonormal columns of `[d, 2]`.
        axes: Vec<f32>,
        /// The latent that is shown in the middle, `[d]`.
        centre: Vec<f32>,
        /// The distance from the centre that is shown half-way to the rim of the disc.
        half: f32,
    },
    /// Sets or removes a walk.
    Walk {
        /// Whether this is the second walk, with which the main one is compared.
        second: bool,
        /// The latents z_t, `[S, T + 1, d]`; empty to remove the walk.
        latents: Vec<f32>,
        /// The class at which the walk of each seed ends, `[S]`.
        classes: Vec<u32>,
        /// The number of steps T.
        steps: u32,
    },
    /// Sets the velocity field on a square grid over the disc.
    Field {
        /// The number of grid points along the diameter.
        grid: u32,
        /// At each grid point, the derivative dz/dλ in the coordinates of the plane and the class to which the denoiser
        /// gives the largest probability; `None` outside of the disc. `[grid, grid]`, rows from the top.
        arrows: Vec<Option<([f32; 2], u32)>>,
    },
    /// Draws a frame. A newer order replaces one that still waits.
    Frame {
        /// The size of the canvas in device pixels: width, height.
        size: [u32; 2],
        /// The radius of the disc in device pixels.
        radius: f32,
        /// The number of device pixels per CSS pixel.
        ratio: f32,
        /// The share of the walk that is done, 0 … 1.
        share: f32,
        /// Whether the cloud is shown.
        cloud: bool,
        /// Whether the field is shown.
        field: bool,
    },
}

/// A message from the worker to the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The worker waits for orders.
    Ready,
    /// The worker cannot draw any more, for the reason given in one sentence. The page then draws by itself on
    /// Canvas 2D.
    Failed(String),
}
