//! The shape of one request, and whether an adapter can take it.

use crate::error::GpuError;
use crate::plan::Plan;
use crate::sizes::{Sizes, groups};

/// Shape of one request.
pub(crate) struct Batch {
    pub images: usize,
    /// Samples of each image.
    pub seeds: usize,
    pub samples: usize,
    /// Groups of four that each sample has in the result.
    stride: usize,
}

impl Batch {
    /// The batch of `fused` `[images, hidden]` and `z` `[images · seeds, d]`, whose result holds
    /// `stride` groups a sample.
    pub fn new(
        sizes: Sizes,
        plan: &Plan,
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
        if plan.time_share.len() != (plan.steps + 1) * 4 * groups(sizes.first) {
            return Err(GpuError::Shape {
                what: "the plan's time share",
                found: plan.time_share.len(),
                expected: "a plan of the solver's own model".into(),
            });
        }
        Ok(Self {
            images,
            seeds,
            samples,
            stride,
        })
    }

    /// Workgroups, one for four samples.
    pub fn workgroups(&self) -> usize {
        groups(self.samples)
    }

    /// Bytes of the result.
    pub fn result_bytes(&self) -> u64 {
        bytes(self.samples * self.stride * 4)
    }

    /// Whether the adapter's limits allow it.
    pub fn check(&self, sizes: Sizes, plan: &Plan, limits: &wgpu::Limits) -> Result<(), GpuError> {
        within(
            "workgroups, one for four samples",
            self.workgroups() as u64,
            limits.max_compute_workgroups_per_dimension.into(),
        )?;
        let inputs = [self.images * 4 * groups(sizes.first), plan.time_share.len()];
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

/// `len / width`, where that is whole.
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

/// Refuses more than there is.
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

/// Bytes of so many floats.
pub(crate) fn bytes(floats: usize) -> u64 {
    4 * floats as u64
}
