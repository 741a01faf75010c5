//! Convolution as one operation of the autodiff graph.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

use super::Convolution;
use crate::tensor::{CpuTensor, FlexTensor, TrackedTensor};

/// The sizes of the convolution that `layer` applies to `x`, without its bias; `None` where this module cannot
/// take the place of burn's convolution.
pub(crate) fn supported(layer: &Conv2d, x: &Tensor<4>) -> Option<Convolution> {
    let padding = match layer.padding {
        PaddingConfig2d::Valid => [0, 0],
        PaddingConfig2d::Explicit(top, left, bottom, right) if (top, left) == (bottom, right) => {
            [top, left]
        }
        _ => return None,
    };
    let plain = layer.groups == 1 && layer.dilation == [1, 1];
    let weight = layer.weight.shape().dims();
    (plain && CpuTensor::holds(x))
        .then(|| Convolution::new(x.dims(), weight, layer.stride, padding))
        .flatten()
}

/// The output of `convolution` on `x` with the weight of `layer`.
pub(crate) fn forward(convolution: Convolution, layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let is_tracked = x.device().is_autodiff();
    let (x, weight) = (CpuTensor::of(x), CpuTensor::of(layer.weight.val()));
    let y = if is_tracked {
        CpuTensor::Tracked(tracked(
            convolution,
            x.into_tracked(),
            weight.into_tracked(),
        ))
    } else {
        CpuTensor::Plain(convolution.forward(&x.into_values(), &weight.into_values()))
    };
    y.into_tensor()
}

/// Runs `convolution` and records it in the autodiff graph.
fn tracked(convolution: Convolution, x: TrackedTensor, weight: TrackedTensor) -> TrackedTensor {
    let prepared = Conv2dOp
        .prepare::<NoCheckpointing>([x.node(), weight.node()])
        .compute_bound()
        .stateful();
    let (x, weight) = (x.into_primitive(), weight.into_primitive());
    let y = convolution.forward(&x, &weight);
    match prepared {
        OpsKind::Tracked(prepared) => prepared.finish((convolution, x, weight), y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    }
}

/// The node of a convolution in the graph; its parents are x and the weight.
#[derive(Debug)]
struct Conv2dOp;

impl Backward<Flex, 2> for Conv2dOp {
    type State = (Convolution, FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let (convolution, x, weight) = ops.state;
        let [of_x, of_weight] = ops.parents;
        if let Some(node) = of_weight {
            gradients.register::<Flex>(node.id, convolution.weight_gradient(&x, &gradient));
        }
        if let Some(node) = of_x {
            gradients.register::<Flex>(node.id, convolution.input_gradient(&weight, &gradient));
        }
    }
}
