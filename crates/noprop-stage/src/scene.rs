//! What is drawn, and how it lies in the memory that the shaders read.

use bytemuck::{cast, cast_slice};

/// Colours of the theme and of the classes; sRGB, each channel 0 … 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    /// The main walk.
    pub ink: [f32; 3],
    /// The walk that it is compared with, and the field's arrows.
    pub quiet: [f32; 3],
    /// The rings.
    pub line: [f32; 3],
    /// The disc.
    pub paper: [f32; 3],
    /// One a class; from the eleventh class on they repeat.
    pub hues: [[f32; 3]; 10],
}

/// The plane of label space that is shown, and the compression r ↦ r/(r + half) onto a disc.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane<'a> {
    /// `[d, 2]`, orthonormal columns.
    pub axes: &'a [f32],
    /// `[d]`, what is shown in the middle.
    pub centre: &'a [f32],
    /// Distance that lands half-way to the rim.
    pub half: f32,
}

impl Plane<'_> {
    /// `[d, 4]`: both axes, the centre, nothing.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let rows = self.axes.chunks(2).zip(self.centre);
        let rows: Vec<[f32; 4]> = rows.map(|(axes, &c)| [axes[0], axes[1], c, 0.0]).collect();
        cast_slice(&rows).to_vec()
    }
}

/// Which of the two walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one with a cloud.
    Main,
    /// The one that it is compared with.
    Second,
}

/// Walks of several noise seeds; the first one has a trail, the others are the cloud.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk<'a> {
    /// z_t, `[seeds, steps + 1, d]`.
    pub latents: &'a [f32],
    /// The class at which each seed ends, `[seeds]`.
    pub classes: &'a [u32],
    /// T.
    pub steps: u32,
}

/// The velocity field, sampled on a square grid over the disc.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// Points along the diameter.
    pub grid: u32,
    /// `[grid, grid]`, rows from the top.
    pub arrows: &'a [Arrow],
}

/// The field at one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrow {
    /// dz/dλ in the plane's coordinates.
    pub velocity: [f32; 2],
    /// The class that the denoiser believes there; nothing outside of the disc.
    pub class: Option<u32>,
}

impl Arrow {
    /// As field.wgsl reads it.
    pub(crate) fn words(self) -> [u32; 4] {
        let [x, y] = self.velocity.map(f32::to_bits);
        [x, y, self.class.unwrap_or(u32::MAX), 0]
    }
}

/// What changes from frame to frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Canvas size, device pixels.
    pub size: [f32; 2],
    /// Radius of the disc, device pixels.
    pub radius: f32,
    /// Device pixels per CSS pixel.
    pub ratio: f32,
    /// Part of the walk that is done, 0 … 1.
    pub share: f32,
    /// Whether the cloud is shown.
    pub cloud: bool,
    /// Whether the field is shown.
    pub field: bool,
}

impl Frame {
    /// Bytes of the uniform: eight words and fourteen colours.
    pub(crate) const BYTES: u64 = 4 * (8 + 4 * 14);

    /// The uniform `Frame` of stage.wgsl.
    pub(crate) fn bytes(&self, style: &Style, half: f32, dims: u32, grid: u32) -> Vec<u8> {
        let [width, height] = self.size;
        let head = [width, height, self.radius, self.ratio, self.share, half].map(f32::to_bits);
        let head = [head.as_slice(), &[dims, grid]].concat();
        let themed = [style.ink, style.quiet, style.line, style.paper];
        let colours: Vec<[f32; 4]> = themed
            .into_iter()
            .chain(style.hues)
            .map(|[r, g, b]| [r, g, b, 1.0])
            .collect();
        [cast_slice::<u32, u8>(&head), cast_slice(&colours)].concat()
    }
}

/// The uniform `Walk` of trajectory.wgsl.
pub(crate) fn walk_bytes(seeds: u32, steps: u32, pieces: u32, which: Which) -> [u8; 16] {
    cast([seeds, steps, pieces, u32::from(which == Which::Second)])
}
