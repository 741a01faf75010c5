//! Batches with the channel outermost in memory.
//!
//! Logically a batch stays `[b, c, h, w]`. In memory it is `[c, b, h, w]`: then the matrix product
//! of a convolution writes its output in place, and a channel, which is what BatchNorm works on,
//! is one contiguous slice. Burn's tensors carry strides, so its own operations read such a
//! batch as well.

use crate::cpu_tensor::{FlexTensor, from_vec, values, values_mut};

/// A batch as `[c, b, h, w]`, contiguous; copied only when it was not so already.
pub(crate) struct Planes(FlexTensor);

impl Planes {
    /// Those of `tensor`, `[b, c, …]`.
    pub fn of(tensor: &FlexTensor) -> Self {
        Self(tensor.transpose(0, 1).to_contiguous())
    }

    /// All values.
    pub fn values(&self) -> &[f32] {
        values(&self.0)
    }

    /// All values, copied first when another tensor shares them.
    pub fn values_mut(&mut self) -> &mut [f32] {
        values_mut(&mut self.0)
    }

    /// The batch `[b, c, …]` over these values.
    pub fn into_tensor(self) -> FlexTensor {
        self.0.transpose(0, 1)
    }

    /// The batch over `values` in the shape of these.
    pub fn like(&self, values: Vec<f32>) -> FlexTensor {
        from_vec(values, self.0.layout().shape().clone()).transpose(0, 1)
    }

    /// The same values as a matrix.
    pub fn matrix(&self, shape: [usize; 2]) -> FlexTensor {
        self.0.reshape(shape.into())
    }
}

/// The batch `[b, c, …]` over values that lie as `[c, b, …]`.
pub(crate) fn tensor<const D: usize>(values: FlexTensor, planes: [usize; D]) -> FlexTensor {
    values.reshape(planes.into()).transpose(0, 1)
}
