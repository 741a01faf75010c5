//! The things that are drawn, and their layout in the memory that the shaders read.

use bytemuck::{cast, cast_slice};

/// The colours of the theme and of the classes, in sRGB with each channel in 0 … 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    /// The colour of the main walk.
    pub ink: [f32; 3],
    /// The colour of the second walk and of the arrows of the field.
    pub quiet: [f32; 3],
    /// The colour of the rings.
    pub line: [f32; 3],
    /// The colour of the disc.
    pub paper: [f32; 3],
    /// The colours of the classes; they repeat from the eleventh class on.
    pub hues: [[f32; 3]; 10],
}

/// The plane of latent space that is shown, and the compression r ↦ r/(r + half) onto a disc.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane<'a> {
    /// The two axes of the plane, orthonormal columns of `[d, 2]`.
    pub axes: &'a [f32],
    /// The latent that is shown in the middle, `[d]`.
    pub centre: &'a [f32],
    /// The distance from the centre that is shown half-way to the rim of the disc.
    pub half: f32,
}

impl Plane<'_> {
    /// The bytes of `[d, 4]`: the two axes, the centre and zero for each dimension.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let rows = self.axes.chunks(2).zip(self.centre);
        let rows: Vec<[f32; 4]> = rows.map(|(axes, &c)| [axes[0], axes[1], c, 0.0]).collect();
        cast_slice(&rows).to_vec()
    }
}

/// The role of a walk in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkRole {
    /// The main walk, which has a cloud.
    Main,
    /// The second walk, with which the main one is compared.
    Second,
}

/// The latents of walks of one image from several noise seeds. The first walk is drawn with a trail, the
/// others are the cloud.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordedWalks<'a> {
    /// The latents z_t, `[seeds, steps + 1, d]`.
    pub latents: &'a [f32],
    /// The class at which the walk of each seed ends, `[seeds]`.
    pub classes: &'a [u32],
    /// The number of steps T.
    pub steps: u32,
}

/// The velocity field on a square grid over the disc.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// The number of grid points along the diameter of the disc.
    pub grid: u32,
    /// The arrows at the grid points, `[grid, grid]`, rows from the top.
    pub arrows: &'a [Arrow],
}

/// The field at one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrow {
    /// The derivative dz/dλ in the coordinates of the plane.
    pub velocity: [f32; 2],
    /// The class to which the denoiser gives the largest probability at this point; `None` outside of the disc.
    pub class: Option<u32>,
}

impl Arrow {
    /// The 32-bit words of the struct `Arrow` of field.wgsl.
    pub(crate) fn words(self) -> [u32; 4] {
        let [x, y] = self.velocity.map(f32::to_bits);
        [x, y, self.class.unwrap_or(u32::MAX), 0]
    }
}

/// The values that change from frame to frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// The size of the canvas in device pixels: width, height.
    pub size: [f32; 2],
    /// The radius of the disc in device pixels.
    pub radius: f32,
    /// The number of device pixels per CSS pixel.
    pub ratio: f32,
    /// The share of the walk that is done, 0 … 1.
    pub share: f32,
    /// Whether the cloud is shown.
    pub cloud: bool,
    /// Whether the field is shown.
    pub field: bool,
}

impl Frame {
    /// The size of the uniform in bytes: eight words and fourteen colours.
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

/// The uniform `Walk` of walk.wgsl.
pub(crate) fn walk_bytes(seeds: u32, steps: u32, pieces: u32, role: WalkRole) -> [u8; 16] {
    cast([seeds, steps, pieces, u32::from(role == WalkRole::Second)])
}
