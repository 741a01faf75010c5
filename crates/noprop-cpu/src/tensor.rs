//! Burn's tensors as tensors of its CPU backend, and batches with the channel outermost in memory.
//!
//! Logically a batch is always `[b, c, h, w]`. In memory [`Planes`] lays it out as `[c, b, h, w]`: then the
//! matrix product of a convolution writes its output in place, and a channel, which BatchNorm works on, is
//! one contiguous slice. Burn's tensors carry strides, so its own operations can read such a batch as well.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex, GradientCheckpointingStrategy};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

/// A tensor of the CPU backend without an autodiff graph.
pub(crate) type FlexTensor = FloatTensor<Flex>;

/// A tensor of the CPU backend in an autodiff graph.
pub(crate) type TrackedTensor = FloatTensor<Autodiff<Flex>>;

/// A tensor on the CPU.
pub(crate) enum CpuTensor {
    /// A tensor without an autodiff graph.
    Plain(FlexTensor),
    /// A tensor in an autodiff graph.
    Tracked(TrackedTensor),
}

impl CpuTensor {
    /// Whether `tensor` is an f32 tensor on the CPU without gradient checkpointing; this crate supports no other.
    pub fn holds<const D: usize>(tensor: &Tensor<D>) -> bool {
        let device = tensor.device();
        let checkpointing = device.gradient_checkpointing_strategy();
        tensor.dtype() == DType::F32
            && device == Device::flex()
            && checkpointing.is_none_or(|kind| kind == GradientCheckpointingStrategy::Disabled)
    }

    /// The tensor of the CPU backend behind `tensor`, for which [`Self::holds`] must be true.
    pub fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        if tensor.device().is_autodiff() {
            let tracked = tensor.try_into_primitive::<Autodiff<Flex>>();
            Self::Tracked(tracked.expect("an autodiff tensor of the CPU"))
        } else {
            let plain = tensor.try_into_primitive::<Flex>();
            Self::Plain(plain.expect("a tensor of the CPU"))
        }
    }

    /// This tensor as one of burn's device-independent tensors.
    pub fn into_tensor<const D: usize>(self) -> Tensor<D> {
        match self {
            Self::Plain(values) => Tensor::from_primitive::<Flex>(values),
            Self::Tracked(tracked) => Tensor::from_primitive::<Autodiff<Flex>>(tracked),
        }
    }

    /// The values of this tensor without its autodiff graph.
    pub fn into_values(self) -> FlexTensor {
        match self {
            Self::Plain(values) => values,
            Self::Tracked(tracked) => tracked.into_primitive(),
        }
    }

    /// This tensor in an autodiff graph; a tensor without a graph becomes a constant.
    pub fn into_tracked(self) -> TrackedTensor {
        match self {
            Self::Plain(values) => Autodiff::<Flex>::from_inner(values),
            Self::Tracked(tracked) => tracked,
        }
    }
}

/// A contiguous tensor of `shape` with `values`, row-major.
pub(crate) fn from_vec(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The values of a contiguous tensor.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous tensor of f32")
}

/// The values of a contiguous tensor, copied first when another tensor shares them.
pub(crate) fn values_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    let range = tensor.layout().contiguous_offsets();
    let (start, end) = range.expect("a contiguous tensor");
    &mut tensor.storage_mut()[start..end]
}

/// A batch that is contiguous in memory as `[c, b, h, w]`.
pub(crate) struct Planes(FlexTensor);

impl Planes {
    /// The planes of the batch `tensor` `[b, c, …]`. Values are copied only if they have another order in memory.
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

    /// The batch `[b, c, …]` with the values of these planes.
    pub fn into_tensor(self) -> FlexTensor {
        self.0.transpose(0, 1)
    }

    /// A batch `[b, c, …]` of the same shape with `values`, which are in the order `[c, b, …]`.
    pub fn like(&self, values: Vec<f32>) -> FlexTensor {
        from_vec(values, self.0.layout().shape().clone()).transpose(0, 1)
    }

    /// The values of these planes as a matrix of `shape`.
    pub fn matrix(&self, shape: [usize; 2]) -> FlexTensor {
        self.0.reshape(shape.into())
    }
}

/// The batch `[b, c, …]` with `values`, which are in the order of `planes`, `[c, b, …]`.
pub(crate) fn from_planes<const D: usize>(values: FlexTensor, planes: [usize; D]) -> FlexTensor {
    values.reshape(planes.into()).transpose(0, 1)
}
