//! The gradients of the neural ODE: the adjoint equation, solved backwards in time.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;

use super::adjoint::AdjointParts;
use super::batch::{Batch, Loss, cross_entropy};
use crate::embedding::ClassEmbedding;

/// The gradients of all parameters of `model`, whose parts and embeddings are given beside it, and the
/// loss of `batch`.
pub(crate) fn gradients<M: Module>(
    model: &M,
    parts: &AdjointParts,
    class_embedding: &ClassEmbedding,
    batch: Batch,
) -> (GradientsParams, Loss) {
    let Batch {
        images,
        labels,
        draws,
        mut dropout,
        ..
    } = batch;
    let steps = parts.settings.steps;
    let h = 1.0 / steps as f64;
    let features = parts.network.features(images, &mut dropout);
    let fused = features.fused.clone().inner();
    let z_0 = draws.noise.inner();
    let mut z = parts.valid().solve(&class_embedding.valid(), &fused, z_0);

    // At t = 1: the classifier's gradient, and a(1).
    let end = Tensor::from_inner(z.clone()).require_grad();
    let ce = cross_entropy(parts.output_head.forward(end.clone()), labels);
    let mut gradients = ce.backward();
    let mut a = taken(&end, end.grad_remove(&mut gradients));
    let mut sum = GradientsAccumulator::new();
    sum.accumulate(model, GradientsParams::from_grads(gradients, model));

    let mut of_features = fused.zeros_like();
    for k in (0..steps).rev() {
        let (z_leaf, fused_leaf) = (leaf(&z), leaf(&fused));
        let t = (k + 1) as f64 * h;
        let velocity = parts.velocity(class_embedding, &fused_leaf, z_leaf.clone(), t);
        z = z - velocity.clone().inner().mul_scalar(h);
        // h aᵀv, whose gradients are the products that are wanted.
        let product = (velocity * Tensor::from_inner(a.clone()))
            .sum()
            .mul_scalar(h);
        let mut gradients = product.backward();
        a = a + taken(&z_leaf, z_leaf.grad_remove(&mut gradients));
        of_features = of_features + taken(&fused_leaf, fused_leaf.grad_remove(&mut gradients));
        sum.accumulate(model, GradientsParams::from_grads(gradients, model));
    }
    let through_backbone = (features.fused * Tensor::from_inner(of_features)).sum();
    let gradients = GradientsParams::from_grads(through_backbone.backward(), model);
    sum.accumulate(model, gradients);
    (sum.grads(), Loss::cross_entropy_alone(ce))
}

fn leaf(value: &Tensor<2>) -> Tensor<2> {
    Tensor::from_inner(value.clone()).require_grad()
}

/// The gradient of `leaf`; zero where the result does not depend on it.
fn taken(leaf: &Tensor<2>, gradient: Option<Tensor<2>>) -> Tensor<2> {
    gradient.unwrap_or_else(|| leaf.clone().inner().zeros_like())
}
