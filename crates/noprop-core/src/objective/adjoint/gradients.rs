//! Gradients by the adjoint equation.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;

use super::{readout, seen, solve, terms, time};
use crate::model::NoProp;
use crate::objective::{Batch, Loss, cross_entropy};

/// The gradients of all parameters, and the loss.
pub(in crate::objective) fn gradients(
    model: &NoProp,
    batch: Batch,
    steps: usize,
) -> (GradientsParams, Loss) {
    let Batch {
        images,
        labels,
        draws,
        mut dropout,
        ..
    } = batch;
    let h = 1.0 / steps as f64;
    let features = model.train_features(images, &mut dropout);
    let fused = features.fused.clone().inner();
    let mut z = solve(&model.valid(), &fused, draws.noise.inner(), steps);

    // At t = 1: the classifier's gradient, and a(1).
    let end = Tensor::from_inner(z.clone()).require_grad();
    let ce = cross_entropy(readout(model, end.clone()), labels);
    let mut gradients = ce.backward();
    let mut a = taken(end.grad_remove(&mut gradients));
    let mut sum = GradientsAccumulator::new();
    sum.accumulate(model, GradientsParams::from_grads(gradients, model));

    let mut of_features = fused.zeros_like();
    for k in (0..steps).rev() {
        let (z_leaf, fused_leaf) = (leaf(&z), leaf(&fused));
        let time = time(&z_leaf, (k + 1) as f64 * h);
        let velocity = model.velocity(&seen(&fused_leaf), z_leaf.clone(), time);
        z = z - velocity.clone().inner().mul_scalar(h);
        // h aᵀv, whose gradients are the products that are wanted.
        let product = (velocity * Tensor::from_inner(a.clone()))
            .sum()
            .mul_scalar(h);
        let mut gradients = product.backward();
        a = a + taken(z_leaf.grad_remove(&mut gradients));
        of_features = of_features + taken(fused_leaf.grad_remove(&mut gradients));
        sum.accumulate(model, GradientsParams::from_grads(gradients, model));
    }
    let through_backbone = (features.fused * Tensor::from_inner(of_features)).sum();
    let gradients = GradientsParams::from_grads(through_backbone.backward(), model);
    sum.accumulate(model, gradients);
    (sum.grads(), terms(ce))
}

fn leaf(value: &Tensor<2>) -> Tensor<2> {
    Tensor::from_inner(value.clone()).require_grad()
}

fn taken(gradient: Option<Tensor<2>>) -> Tensor<2> {
    match gradient {
        Some(gradient) => gradient,
        None => unreachable!("the loss depends on every leaf"),
    }
}
