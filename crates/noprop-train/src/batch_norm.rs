//! BatchNorm's running statistics when a batch is computed in shards.
//!
//! Each shard moves the running means and variances of a copy of the model. If all shards moved the same ones, the
//! result would depend on timing. After the step, the model takes the mean over the shards.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};
use noprop_core::NoProp;
use noprop_core::network::Network;

/// The running means and variances of BatchNorm layers, each `[channels]`, by parameter.
#[derive(Debug, Default)]
pub(crate) struct RunningStatistics(HashMap<ParamId, Tensor<1>>);

impl RunningStatistics {
    /// The statistics of `model`, which must be off the autodiff device. If the model has blocks, only the statistics
    /// of `blocks` (from 0) are taken: those of the other blocks have not moved, and a mean of equal values would round
    /// them.
    pub fn of(model: &NoProp, blocks: &[usize]) -> Self {
        struct Collect {
            statistics: RunningStatistics,
            is_statistic: bool,
        }
        impl ModuleVisitor for Collect {
            fn enter_module(&mut self, name: &str, _: &str) {
                self.is_statistic = name.starts_with("running_");
            }
            fn exit_module(&mut self, _: &str, _: &str) {
                self.is_statistic = false;
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if self.is_statistic {
                    let values = param.val().reshape([-1]);
                    self.statistics.0.insert(param.id, values);
                }
            }
        }
        let mut collect = Collect {
            statistics: Self::default(),
            is_statistic: false,
        };
        match model.network() {
            Network::Shared(_) => model.visit(&mut collect),
            Network::Blocks(all) => blocks
                .iter()
                .for_each(|&block| all[block].visit(&mut collect)),
        }
        collect.statistics
    }

    /// These statistics on another device.
    pub fn moved_to(self, device: &Device) -> Self {
        let moved = |(id, values): (_, Tensor<1>)| (id, values.to_device(device));
        Self(self.0.into_iter().map(moved).collect())
    }

    /// The mean over shards, each with its share of the batch (in 0 … 1) as weight.
    pub fn mean(shards: &[(Self, f64)]) -> Self {
        let Some((first, _)) = shards.first() else {
            return Self::default();
        };
        let mean = |id: &ParamId| {
            let parts = shards
                .iter()
                .filter_map(|(shard, weight)| Some((shard.0.get(id)?.clone(), *weight)));
            Some((*id, noprop_cpu::weighted_sum(parts)?))
        };
        Self(first.0.keys().filter_map(mean).collect())
    }

    /// Replaces the statistics of `model` by these.
    pub fn put_into(self, model: NoProp) -> NoProp {
        struct Replace(RunningStatistics);
        impl ModuleMapper for Replace {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let Some(values) = self.0.0.remove(&param.id) else {
                    return param;
                };
                param.map(|old| {
                    let values = values.reshape(old.dims());
                    match old.device().is_autodiff() {
                        true => Tensor::from_inner(values),
                        false => values,
                    }
                })
            }
        }
        model.map(&mut Replace(self))
    }
}
