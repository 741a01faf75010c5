//! Between burn's tensors and those of its CPU backend.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex, GradientCheckpointingStrategy};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

/// Values on the CPU.
pub(crate) type FlexTensor = FloatTensor<Flex>;

/// Values in a graph.
pub(crate) type TrackedTensor = FloatTensor<Autodiff<Flex>>;

/// A tensor on the CPU.
pub(crate) enum CpuTensor {
    /// Values alone.
    Plain(FlexTensor),
    /// Values in a graph.
    Tracked(TrackedTensor),
}

impl CpuTensor {
    /// Whether `tensor` lives on the CPU and is of `f32`, which is all that is supported here.
    pub fn holds<const D: usize>(tensor: &Tensor<D>) -> bool {
        let device = tensor.device();
        let checkpointing = device.gradient_checkpointing_strategy();
        tensor.dtype() == DType::F32
            && device == Device::flex()
            && checkpointing.is_none_or(|kind| kind == GradientCheckpointingStrategy::Disabled)
    }

    /// `tensor`, for which [`Self::holds`] is true.
    pub fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        if tensor.device().is_autodiff() {
            let tracked = tensor.try_into_primitive::<Autodiff<Flex>>();
            Self::Tracked(tracked.expect("an autodiff tensor of the CPU"))
        } else {
            let plain = tensor.try_into_primitive::<Flex>();
            Self::Plain(plain.expect("a tensor of the CPU"))
        }
    }

    /// As a tensor of burn.
    pub fn into_tensor<const D: usize>(self) -> Tensor<D> {
        match self {
            Self::Plain(values) => Tensor::from_primitive::<Flex>(values),
            Self::Tracked(tracked) => Tensor::from_primitive::<Autodiff<Flex>>(tracked),
        }
    }

    /// The values, off the graph.
    pub fn into_values(self) -> FlexTensor {
        match self {
            Self::Plain(values) => values,
            Self::Tracked(tracked) => tracked.into_primitive(),
        }
    }

    /// In a graph, as a constant where it was in none.
    pub fn into_tracked(self) -> TrackedTensor {
        match self {
            Self::Plain(values) => Autodiff::<Flex>::from_inner(values),
            Self::Tracked(tracked) => tracked,
        }
    }
}

/// A contiguous tensor.
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
