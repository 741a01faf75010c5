//! The shape of one request to the solver, and whether an adapter can take it.

use crate::error::GpuError;
use crate::model::{Sizes, StepTables, groups};

/// The shape of one request to the solver.
pub(crate) struct Batch {
    /// The number of images.
    pub images: usize,
    /// The number of samples of each image.
    pub seeds: usize,
    /// The number of samples in all, images · seeds.
    pub samples: usize,
    /// The number of groups of four that the result holds for each sample.
    stride: usize,
}

impl Batch {
    /// The shape of a request with the features' share `fused` `[images, hidden]` and latents `z`
    /// `[images · seeds, d]`, whose result holds `stride` groups of four for each sample.
    pub fn new(
        sizes: Sizes,
        tables: &StepTables,
        fused: &[f32],
        z: &[f32],
        stride: usize,
    ) -> Result<Self, GpuError> {
        let images = whole("fused", fused.len(), sizes.first, "rows of hidden width")?;
        let samples = whole("z", z.len(), sizes.latent, "rows of latent width")?;
        let seeds = match images {
            0 => 0,
            _ => samples / images,
        };
        if seeds * images != samples || (images > 0 && seeds == 0) {
            return Err(GpuError::Shape {
                what: "z",
                found: z.len(),
                expected: format!("the same number of rows for each of {images} images"),
            });
        }
        if tables.time_share.len() != (tables.steps + 1) * 4 * groups(sizes.first) {
            return Err(GpuError::Shape {
                what: "the time share of the tables",
                found: tables.time_share.len(),
                expected: "that of tables made from the solver's own model".into(),
            });
        }
        Ok(Self {
            images,
            seeds,
            samples,
            stride,
        })
    }

    /// The number of workgroups, one for four samples.
    pub fn workgroups(&self) -> usize {
        groups(self.samples)
    }

    /// The bytes of the result.
    pub fn result_bytes(&self) -> u64 {
        bytes(self.samples * self.stride * 4)
    }

    /// Checks that the limits of the adapter allow this request.
    pub fn check(
        &self,
        sizes: Sizes,
        tables: &StepTables,
        limits: &wgpu::Limits,
    ) -> Result<(), GpuError> {
        within(
            "workgroups, one for four samples",
            self.workgroups() as u64,
            limits.max_compute_workgroups_per_dimension.into(),
        )?;
        let inputs = [
            self.images * 4 * groups(sizes.first),
            tables.time_share.len(),
        ];
        let inputs = inputs.into_iter().max().unwrap_or(0);
        within(
            "bytes in a buffer",
            self.result_bytes().max(bytes(inputs)),
            limits
                .max_storage_buffer_binding_size
                .min(limits.max_buffer_size),
        )
    }
}

/// The number of rows `len / width` of the input `what`, which must be a whole number.
fn whole(
    what: &'static str,
    len: usize,
    width: usize,
    rows: &'static str,
) -> Result<usize, GpuError> {
    if len.is_multiple_of(width) {
        Ok(len / width)
    } else {
        Err(GpuError::Shape {
            what,
            found: len,
            expected: format!("{rows} {width}"),
        })
    }
}

/// Checks that `needed` of the resource `what` is at most `available`.
pub(crate) fn within(what: &'static str, needed: u64, available: u64) -> Result<(), GpuError> {
    if needed <= available {
        Ok(())
    } else {
        Err(GpuError::Limit {
            what,
            needed,
            available,
        })
    }
}

/// The size of `floats` f32 numbers in bytes.
pub(crate) fn bytes(floats: usize) -> u64 {
    4 * floats as u64
}
