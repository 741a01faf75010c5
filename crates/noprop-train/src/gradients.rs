//! The gradients and the loss of a part of a step, and the sums and means that join the parts.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use noprop_core::NoProp;
use noprop_core::method::Batch;

/// The gradients of a loss, and the loss itself.
pub(crate) struct Gradients {
    /// The gradient of each parameter that the loss reaches.
    pub parameters: GradientsParams,
    /// The terms of the loss in the order of [`LossValues`](crate::LossValues), `[4]`, off the autodiff device; `None`
    /// if a step of NoProp-DT trains the output head alone.
    pub loss: Option<Tensor<1>>,
}

impl Gradients {
    /// The gradients of the loss on `batch`. `model` and the batch must be on the autodiff device.
    pub fn of(model: &NoProp, batch: Batch) -> Self {
        let has_blocks = model.method().independent_blocks().is_some();
        let is_of_the_head_alone = has_blocks && batch.block.is_none();
        let (parameters, loss) = model.gradients(batch);
        // The terms are one tensor, so that one read fetches all of them.
        let terms =
            || Tensor::cat(vec![loss.total.detach(), loss.ce, loss.kl, loss.denoise], 0).inner();
        Self {
            parameters,
            loss: (!is_of_the_head_alone).then(terms),
        }
    }

    /// These gradients and this loss on another device; `model` names the parameters.
    pub fn moved_to(self, device: &Device, model: &NoProp) -> Self {
        Self {
            parameters: self.parameters.to_device(device, model),
            loss: self.loss.map(|loss| loss.to_device(device)),
        }
    }

    /// Joins several losses on the same images: the sum of their gradients, added in order, and their mean loss.
    pub fn of_losses(model: &NoProp, parts: Vec<Self>) -> Self {
        let (parameters, losses): (Vec<_>, Vec<_>) = parts.into_iter().map(Self::split).unzip();
        let losses: Vec<_> = losses.into_iter().flatten().collect();
        let count = losses.len() as f64;
        let loss = match losses.len() {
            0 | 1 => losses.into_iter().next(),
            _ => Some(sum_of_losses(losses).div_scalar(count)),
        };
        Self {
            parameters: sum(model, parameters),
            loss,
        }
    }

    /// Joins the shards of a batch, each with its share of the batch (in 0 … 1) as weight: the weighted means of their
    /// gradients and losses.
    pub fn of_shards(model: &NoProp, shards: Vec<(Self, f64)>) -> Self {
        let (mut parts, mut losses) = (Vec::new(), Vec::new());
        for (shard, weight) in shards {
            parts.push((shard.parameters, weight));
            losses.extend(shard.loss.map(|loss| loss.mul_scalar(weight)));
        }
        Self {
            parameters: mean(model, parts),
            loss: (!losses.is_empty()).then(|| sum_of_losses(losses)),
        }
    }

    fn split(self) -> (GradientsParams, Option<Tensor<1>>) {
        (self.parameters, self.loss)
    }
}

/// The sum of loss terms, each `[4]`; there must be at least one.
fn sum_of_losses(losses: Vec<Tensor<1>>) -> Tensor<1> {
    Tensor::stack::<2>(losses, 0).sum_dim(0).flatten::<1>(0, 1)
}

/// The sum of gradients, added in order. Each part holds the gradients of the parameters that its loss reaches.
fn sum(model: &NoProp, mut parts: Vec<GradientsParams>) -> GradientsParams {
    struct Sum {
        parts: Vec<GradientsParams>,
        sum: GradientsParams,
    }
    impl ModuleVisitor for Sum {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let parts = self.parts.iter_mut();
            let found = parts.filter_map(|part| part.remove::<D>(param.id));
            if let Some(sum) = found.reduce(|sum, gradient| sum + gradient) {
                self.sum.register::<D>(param.id, sum);
            }
        }
    }
    if parts.len() == 1 {
        return parts.swap_remove(0);
    }
    let mut visitor = Sum {
        parts,
        sum: GradientsParams::new(),
    };
    model.visit(&mut visitor);
    visitor.sum
}

/// The weighted mean of gradients.
fn mean(model: &NoProp, parts: Vec<(GradientsParams, f64)>) -> GradientsParams {
    struct Mean {
        parts: Vec<(GradientsParams, f64)>,
        mean: GradientsParams,
    }
    impl ModuleVisitor for Mean {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let parts = self.parts.iter_mut();
            let parts = parts.filter_map(|(part, weight)| {
                let gradient = part.remove::<D>(param.id)?;
                Some((gradient, *weight))
            });
            if let Some(mean) = noprop_cpu::weighted_sum(parts) {
                self.mean.register::<D>(param.id, mean);
            }
        }
    }
    let mut visitor = Mean {
        parts,
        mean: GradientsParams::new(),
    };
    model.visit(&mut visitor);
    visitor.mean
}

/// Scales all gradients by one factor, so that their common norm is at most `limit`. Nothing is read back from the
/// device.
pub(crate) fn clip(model: &NoProp, gradients: GradientsParams, limit: f64) -> GradientsParams {
    struct SquaredNorm<'a> {
        gradients: &'a GradientsParams,
        sum: Option<Tensor<1>>,
    }
    impl ModuleVisitor for SquaredNorm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                let squares = gradient.square().sum();
                self.sum = Some(match self.sum.take() {
                    Some(sum) => sum + squares,
                    None => squares,
                });
            }
        }
    }
    struct Scale {
        gradients: GradientsParams,
        factor: Tensor<1>,
        scaled: GradientsParams,
    }
    impl ModuleVisitor for Scale {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.remove::<D>(param.id) {
                let factor = self.factor.clone().reshape([1; D]);
                self.scaled.register::<D>(param.id, gradient * factor);
            }
        }
    }
    let mut norm = SquaredNorm {
        gradients: &gradients,
        sum: None,
    };
    model.visit(&mut norm);
    let Some(squared) = norm.sum else {
        return gradients;
    };
    let factor = squared.sqrt().add_scalar(1e-6).recip();
    let mut scale = Scale {
        gradients,
        factor: factor.mul_scalar(limit).clamp_max(1.0),
        scaled: GradientsParams::new(),
    };
    model.visit(&mut scale);
    scale.scaled
}
