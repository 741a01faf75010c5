//! Exponential moving average of weights and statistics.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use noprop_core::NoProp;

/// average ← decay · average + (1 − decay) · model; both off the autodiff device.
pub(crate) fn update(average: NoProp, model: &NoProp, decay: f64) -> NoProp {
    struct Collect(GradientsParams);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.register::<D>(param.id, param.val());
        }
    }
    struct Blend(GradientsParams, f64);
    impl ModuleMapper for Blend {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            match self.0.remove::<D>(param.id) {
                Some(new) => param.map(|old| old.mul_scalar(self.1) + new.mul_scalar(1.0 - self.1)),
                None => param,
            }
        }
    }
    let mut collect = Collect(GradientsParams::new());
    model.visit(&mut collect);
    average.map(&mut Blend(collect.0, decay))
}
