//! X: the columns of a convolution, and the way back from columns to images.

use core::ops::Range;

use rayon::prelude::*;

use super::Convolution;
use super::group::Group;
use crate::tensor::{FlexTensor, Planes, from_vec, values, values_mut};

/// The columns X of one group of output pixels, in memory that serves one chunk of images after the other.
pub(super) struct Columns<'a> {
    convolution: &'a Convolution,
    group: &'a Group,
    memory: Option<FlexTensor>,
}

impl<'a> Columns<'a> {
    pub fn new(convolution: &'a Convolution, group: &'a Group) -> Self {
        Self {
            convolution,
            group,
            memory: None,
        }
    }

    /// X `[k, n]` of the images `images` of `x`: the column of an output pixel holds the input pixels that its
    /// window covers. The tensor must be dropped before the next call, which would copy it otherwise.
    pub fn unfold(&mut self, x: &Planes, images: Range<usize>) -> FlexTensor {
        let (convolution, group) = (self.convolution, self.group);
        let columns = images.len() * group.pixels.len();
        let shape = [convolution.channels_in * group.taps.len(), columns];
        if convolution.is_pointwise() {
            return x.matrix(shape);
        }
        let fits = |memory: &FlexTensor| memory.layout().shape().dims::<2>() == shape;
        let mut memory = match self.memory.take().filter(fits) {
            Some(memory) => memory,
            None => from_vec(vec![0.0; shape.iter().product()], shape),
        };
        let pixels = convolution.pixels();
        values_mut(&mut memory)
            .par_chunks_mut(group.taps.len() * columns)
            .zip(x.values().par_chunks(convolution.batch * pixels))
            .for_each_init(
                || vec![0.0; convolution.padded_pixels()],
                |padded, (rows, channel)| {
                    let channel = &channel[images.start * pixels..images.end * pixels];
                    convolution.unfold_channel(group, padded, channel, rows);
                },
            );
        self.memory = Some(memory.clone());
        memory
    }
}

impl Convolution {
    fn unfold_channel(&self, group: &Group, padded: &mut [f32], images: &[f32], rows: &mut [f32]) {
        let windows = group.windows.len();
        let columns = images.len() / self.pixels() * windows;
        for (b, image) in images.chunks_exact(self.pixels()).enumerate() {
            let inside = self.inside(padded);
            for (to, from) in inside.zip(image.chunks_exact(self.input[1])) {
                to.copy_from_slice(from);
            }
            for (tap, row) in group.taps.iter().zip(rows.chunks_exact_mut(columns)) {
                let from = &padded[tap.offset..];
                let to = &mut row[b * windows..(b + 1) * windows];
                gather(to, from, group);
            }
        }
    }

    /// Adds the columns `[k, n]` of the groups, of the images `images`, to the input pixels that they came from:
    /// the adjoint of `unfold`. The input `x` lies as `[c_in, b, h, w]`.
    pub(super) fn fold(&self, x: &mut [f32], columns: &[FlexTensor], images: Range<usize>) {
        let pixels = self.pixels();
        x.par_chunks_mut(self.batch * pixels)
            .enumerate()
            .for_each_init(
                || vec![0.0; self.padded_pixels()],
                |padded, (channel, x)| {
                    let x = &mut x[images.start * pixels..images.end * pixels];
                    self.fold_channel(padded, columns, channel, x);
                },
            );
    }

    fn fold_channel(
        &self,
        padded: &mut [f32],
        columns: &[FlexTensor],
        channel: usize,
        images: &mut [f32],
    ) {
        let count = images.len() / self.pixels();
        for (b, image) in images.chunks_exact_mut(self.pixels()).enumerate() {
            padded.fill(0.0);
            for (group, columns) in self.groups.iter().zip(columns) {
                let windows = group.windows.len();
                let rows = values(columns).chunks_exact(count * windows);
                let rows = rows.skip(channel * group.taps.len());
                for (tap, row) in group.taps.iter().zip(rows) {
                    let to = &mut padded[tap.offset..];
                    let from = &row[b * windows..(b + 1) * windows];
                    scatter(to, from, group);
                }
            }
            let inside = self.inside(padded);
            for (from, to) in inside.zip(image.chunks_exact_mut(self.input[1])) {
                to.copy_from_slice(from);
            }
        }
    }
}

/// Copies to `to` the pixel of `from` at which each window of `group` begins.
fn gather(to: &mut [f32], from: &[f32], group: &Group) {
    match group.run {
        1 => {
            for (value, &window) in to.iter_mut().zip(&group.windows) {
                *value = from[window];
            }
        }
        3 => gather_rows::<3>(to, from, group),
        4 => gather_rows::<4>(to, from, group),
        7 => gather_rows::<7>(to, from, group),
        8 => gather_rows::<8>(to, from, group),
        13 => gather_rows::<13>(to, from, group),
        14 => gather_rows::<14>(to, from, group),
        15 => gather_rows::<15>(to, from, group),
        16 => gather_rows::<16>(to, from, group),
        27 => gather_rows::<27>(to, from, group),
        28 => gather_rows::<28>(to, from, group),
        31 => gather_rows::<31>(to, from, group),
        32 => gather_rows::<32>(to, from, group),
        run => {
            let firsts = group.windows.iter().step_by(run);
            for (to, &first) in to.chunks_exact_mut(run).zip(firsts) {
                to.copy_from_slice(&from[first..first + run]);
            }
        }
    }
}

/// Does what [`gather`] does, for rows of N windows side by side. The compiler copies a row of known length without a
/// call.
fn gather_rows<const N: usize>(to: &mut [f32], from: &[f32], group: &Group) {
    let (rows, _) = to.as_chunks_mut::<N>();
    for (to, &first) in rows.iter_mut().zip(group.windows.iter().step_by(N)) {
        if let Some(from) = from[first..].first_chunk::<N>() {
            *to = *from;
        }
    }
}

/// Adds `from` to the pixel of `to` at which each window of `group` begins.
fn scatter(to: &mut [f32], from: &[f32], group: &Group) {
    match group.run {
        1 => {
            for (value, &window) in from.iter().zip(&group.windows) {
                to[window] += *value;
            }
        }
        3 => scatter_rows::<3>(to, from, group),
        4 => scatter_rows::<4>(to, from, group),
        7 => scatter_rows::<7>(to, from, group),
        8 => scatter_rows::<8>(to, from, group),
        13 => scatter_rows::<13>(to, from, group),
        14 => scatter_rows::<14>(to, from, group),
        15 => scatter_rows::<15>(to, from, group),
        16 => scatter_rows::<16>(to, from, group),
        27 => scatter_rows::<27>(to, from, group),
        28 => scatter_rows::<28>(to, from, group),
        31 => scatter_rows::<31>(to, from, group),
        32 => scatter_rows::<32>(to, from, group),
        run => {
            let firsts = group.windows.iter().step_by(run);
            for (from, &first) in from.chunks_exact(run).zip(firsts) {
                for (to, from) in to[first..first + run].iter_mut().zip(from) {
                    *to += *from;
                }
            }
        }
    }
}

fn scatter_rows<const N: usize>(to: &mut [f32], from: &[f32], group: &Group) {
    let (rows, _) = from.as_chunks::<N>();
    for (from, &first) in rows.iter().zip(group.windows.iter().step_by(N)) {
        if let Some(to) = to[first..].first_chunk_mut::<N>() {
            for (to, from) in to.iter_mut().zip(from) {
                *to += *from;
            }
        }
    }
}
