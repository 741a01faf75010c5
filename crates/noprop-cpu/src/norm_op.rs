//! BatchNorm and what follows it as one operation that autodiff knows.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, OpsPrep};
use burn::nn::BatchNorm;
use burn::tensor::Tensor;

use crate::cpu_tensor::{CpuTensor, FlexTensor, TrackedTensor, values};
use crate::norm::{self, Moments, Saved};
use crate::planes::Planes;

/// Whether [`forward`] computes what `layer` would on `x`.
pub(crate) fn supports(layer: &BatchNorm, x: &Tensor<4>) -> bool {
    // A frozen layer in training takes burn's way.
    CpuTensor::holds(x) && (!x.device().is_autodiff() || layer.training.is_enabled())
}

/// `layer`, then `+ shortcut`, then ReLU.
pub(crate) fn forward(
    layer: &BatchNorm,
    x: Tensor<4>,
    shortcut: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    let is_tracked = x.device().is_autodiff();
    let x = CpuTensor::of(x);
    let shortcut = shortcut.map(CpuTensor::of);
    let [gamma, beta] = [layer.gamma.val(), layer.beta.val()].map(CpuTensor::of);
    let y = if is_tracked {
        let inputs = [x, gamma, beta].map(CpuTensor::into_tracked);
        let shortcut = shortcut.map(CpuTensor::into_tracked);
        CpuTensor::Tracked(train(layer, inputs, shortcut, relu))
    } else {
        let moments = Moments {
            mean: to_vec(layer.running_mean.value()),
            variance: to_vec(layer.running_var.value()),
        };
        let [x, gamma, beta] = [x, gamma, beta].map(CpuTensor::into_values);
        let shortcut = shortcut.map(|shortcut| Planes::of(&shortcut.into_values()));
        let affine = [values(&gamma), values(&beta)];
        let x = Planes::of(&x);
        let y = norm::forward(
            &x,
            shortcut.as_ref(),
            &moments,
            affine,
            layer.epsilon as f32,
            relu,
        );
        CpuTensor::Plain(x.like(y))
    };
    y.into_tensor()
}

fn train(
    layer: &BatchNorm,
    [x, gamma, beta]: [TrackedTensor; 3],
    shortcut: Option<TrackedTensor>,
    relu: bool,
) -> TrackedTensor {
    let nodes = [x.node(), gamma.node(), beta.node()];
    let shortcut = shortcut.map(|shortcut| (shortcut.node(), shortcut.into_primitive()));
    let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.into_primitive());
    let epsilon = layer.epsilon as f32;

    let planes = Planes::of(&x);
    let moments = norm::moments(&planes, gamma.layout().num_elements());
    let added = shortcut.as_ref().map(|(_, values)| Planes::of(values));
    let affine = [values(&gamma), values(&beta)];
    let y = norm::forward(&planes, added.as_ref(), &moments, affine, epsilon, relu);
    let y = planes.like(y);
    let inverse_std = moments
        .variance
        .iter()
        .map(|v| (v + epsilon).sqrt().recip());
    let saved = Saved {
        x,
        y: y.clone(),
        gamma,
        inverse_std: inverse_std.collect(),
        mean: moments.mean.clone(),
        relu,
    };
    move_statistics(layer, moments);
    match shortcut {
        None => finish(Norm.prepare::<NoCheckpointing>(nodes), saved, y),
        Some((shortcut, _)) => {
            let [x, gamma, beta] = nodes;
            let nodes = [x, gamma, beta, shortcut];
            finish(Norm.prepare::<NoCheckpointing>(nodes), saved, y)
        }
    }
}

fn finish<const N: usize>(
    prepared: OpsPrep<Norm, Flex, Saved, NoCheckpointing, N>,
    saved: Saved,
    y: FlexTensor,
) -> TrackedTensor
where
    Norm: Backward<Flex, N, State = Saved>,
{
    match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(saved, y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    }
}

/// As burn does it, in the same order of operations.
fn move_statistics(layer: &BatchNorm, moments: Moments) {
    let momentum = layer.momentum;
    for (running, new) in [
        (&layer.running_mean, moments.mean),
        (&layer.running_var, moments.variance),
    ] {
        let old = running.value_sync();
        let new = Tensor::<1>::from_data(new.as_slice(), &old.device());
        let moved = old.mul_scalar(1.0 - momentum) + new.mul_scalar(momentum);
        running.update(moved.detach());
    }
}

fn to_vec(tensor: Tensor<1>) -> Vec<f32> {
    values(&CpuTensor::of(tensor).into_values().to_contiguous()).to_vec()
}

/// relu(BatchNorm(x) + shortcut), of x, γ, β and perhaps the shortcut.
#[derive(Debug)]
struct Norm;

impl Backward<Flex, 3> for Norm {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let of = norm::backward(&ops.state, gradient);
        for (parent, value) in ops.parents.into_iter().zip([of.x, of.gamma, of.beta]) {
            if let Some(node) = parent {
                gradients.register::<Flex>(node.id, value);
            }
        }
    }
}

impl Backward<Flex, 4> for Norm {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let of = norm::backward(&ops.state, gradient);
        let values = [of.x, of.gamma, of.beta, of.shortcut];
        for (parent, value) in ops.parents.into_iter().zip(values) {
            if let Some(node) = parent {
                gradients.register::<Flex>(node.id, value);
            }
        }
    }
}
