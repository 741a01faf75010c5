//! Gradients and BatchNorm statistics of the shards of a batch, brought together.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use noprop_core::NoProp;
use noprop_core::network::Network;

/// What one shard contributes.
pub(crate) struct Shard {
    pub gradients: GradientsParams,
    /// BatchNorm's running statistics after the shard.
    pub statistics: Statistics,
    /// Share of the batch, in 0 … 1.
    pub weight: f64,
}

impl Shard {
    /// The same on another device; `model` tells the parameters.
    pub fn moved_to(mut self, model: &NoProp, device: &Device) -> Self {
        Self {
            gradients: moved(model, &mut self.gradients, device),
            statistics: Statistics(moved(model, &mut self.statistics.0, device)),
            weight: self.weight,
        }
    }
}

fn moved(model: &NoProp, from: &mut GradientsParams, device: &Device) -> GradientsParams {
    struct Move<'a>(&'a mut GradientsParams, &'a Device, GradientsParams);
    impl ModuleVisitor for Move<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(tensor) = self.0.remove::<D>(param.id) {
                self.2.register::<D>(param.id, tensor.to_device(self.1));
            }
        }
    }
    let mut visitor = Move(from, device, GradientsParams::new());
    model.visit(&mut visitor);
    visitor.2
}

/// Weighted mean of the gradients.
pub(crate) fn average(model: &NoProp, shards: &mut [Shard]) -> GradientsParams {
    struct Average<'a> {
        shards: &'a mut [Shard],
        out: GradientsParams,
    }
    impl ModuleVisitor for Average<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let parts = self
                .shards
                .iter_mut()
                .filter_map(|shard| Some((shard.gradients.remove::<D>(param.id)?, shard.weight)));
            if let Some(sum) = noprop_cpu::weighted_sum(parts) {
                self.out.register::<D>(param.id, sum);
            }
        }
    }
    let mut visitor = Average {
        shards,
        out: GradientsParams::new(),
    };
    model.visit(&mut visitor);
    visitor.out
}

/// Sum of gradients of several losses, in their order; each holds what its loss reaches.
pub(crate) fn sum(model: &NoProp, mut parts: Vec<GradientsParams>) -> GradientsParams {
    struct Sum(Vec<GradientsParams>, GradientsParams);
    impl ModuleVisitor for Sum {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let found = self
                .0
                .iter_mut()
                .filter_map(|part| part.remove::<D>(param.id));
            if let Some(sum) = found.reduce(|sum, gradient| sum + gradient) {
                self.1.register::<D>(param.id, sum);
            }
        }
    }
    if parts.len() == 1 {
        return parts.swap_remove(0);
    }
    let mut sum = Sum(parts, GradientsParams::new());
    model.visit(&mut sum);
    sum.1
}

/// Scales all gradients together so that their norm is at most `limit`, without reading back.
pub(crate) fn clip(model: &NoProp, gradients: GradientsParams, limit: f64) -> GradientsParams {
    struct SquaredNorm<'a>(&'a GradientsParams, Option<Tensor<1>>);
    impl ModuleVisitor for SquaredNorm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                let squares = gradient.square().sum();
                self.1 = Some(match self.1.take() {
                    Some(sum) => sum + squares,
                    None => squares,
                });
            }
        }
    }
    struct Scale(GradientsParams, GradientsParams, Tensor<1>);
    impl ModuleVisitor for Scale {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.remove::<D>(param.id) {
                let factor = self.2.clone().reshape([1; D]);
                self.1.register::<D>(param.id, gradient * factor);
            }
        }
    }
    let mut norm = SquaredNorm(&gradients, None);
    model.visit(&mut norm);
    let Some(squared) = norm.1 else {
        return gradients;
    };
    let factor = squared
        .sqrt()
        .add_scalar(1e-6)
        .recip()
        .mul_scalar(limit)
        .clamp_max(1.0);
    let mut scale = Scale(gradients, GradientsParams::new(), factor);
    model.visit(&mut scale);
    scale.1
}

/// BatchNorm's running means and variances, by parameter.
#[derive(Default)]
pub(crate) struct Statistics(GradientsParams);

impl Statistics {
    /// Those of `model`, which must be off the autodiff device; where it has blocks, those of `blocks`
    /// (from 0) alone: the others have not moved, and a mean of equals would round.
    pub fn of(model: &NoProp, blocks: &[usize]) -> Self {
        struct Collect(GradientsParams, bool);
        impl ModuleVisitor for Collect {
            fn enter_module(&mut self, name: &str, _: &str) {
                self.1 = name.starts_with("running_");
            }
            fn exit_module(&mut self, _: &str, _: &str) {
                self.1 = false;
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if self.1 {
                    self.0.register::<D>(param.id, param.val());
                }
            }
        }
        let mut collect = Collect(GradientsParams::new(), false);
        match model.network() {
            Network::Shared(_) => model.visit(&mut collect),
            Network::Blocks(all) => blocks
                .iter()
                .for_each(|&block| all[block].visit(&mut collect)),
        }
        Self(collect.0)
    }
}

/// `model` with the weighted mean of the shards' running statistics.
pub(crate) fn merge_statistics(model: NoProp, shards: &mut [Shard]) -> NoProp {
    struct Merge<'a>(&'a mut [Shard]);
    impl ModuleMapper for Merge<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let parts = self.0.iter_mut().filter_map(|shard| {
                Some((shard.statistics.0.remove::<D>(param.id)?, shard.weight))
            });
            match noprop_cpu::weighted_sum(parts) {
                Some(mean) => {
                    let tracked = param.val().device().is_autodiff();
                    param.map(|_| {
                        if tracked {
                            Tensor::from_inner(mean)
                        } else {
                            mean
                        }
                    })
                }
                None => param,
            }
        }
    }
    model.map(&mut Merge(shards))
}
