//! Gradients against differences of the loss, for every parameter of the network.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

use super::tests::{BATCH, batch, config, ct, scalar};
use super::*;
use crate::model::NoProp;
use crate::noise::{NoiseSource, Purpose};

/// The gradient of each parameter, by its path.
struct Collect<'a> {
    gradients: &'a Gradients,
    here: Vec<String>,
    found: Vec<(String, Option<Vec<f32>>)>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.here.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.here.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients);
        let values = gradient.map(|gradient| gradient.into_data().iter::<f32>().collect());
        self.found.push((self.here.join("."), values));
    }
}

/// Moves the parameter at `path` by `step` times `direction`.
struct Move<'a> {
    path: &'a str,
    here: Vec<String>,
    direction: &'a [f64],
    step: f64,
}

impl ModuleMapper for Move<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.here.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.here.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.here.join(".") != self.path {
            return param;
        }
        param.map(|tensor| {
            let (shape, device) = (tensor.shape(), tensor.device());
            let values = tensor.into_data();
            let moved: Vec<f32> = values
                .iter::<f64>()
                .zip(self.direction)
                .map(|(value, direction)| (value + self.step * direction) as f32)
                .collect();
            Tensor::from_data(TensorData::new(moved, shape), &device)
        })
    }
}

/// Multiplies every parameter by 1.5. With the small initial weights the gradients of the first layers would be lost
/// in the rounding of the loss.
struct Enlarge;

impl ModuleMapper for Enlarge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.mul_scalar(1.5))
    }
}

/// The batch of the test, with the draws of `method`.
fn batch_of(method: &Method, device: &Device) -> Batch {
    let mut source = NoiseSource::new(1, Purpose::Training, 7);
    let draws = HostDraws::new(&mut source, BATCH, config().latent_dim(), method);
    Batch {
        draws: draws.upload(0..BATCH, device),
        ..batch(&config(), device)
    }
}

/// The derivative of the loss of `model` along `direction` in the parameter at `path`, by central differences at
/// two distances, whose error is of the fourth order.
fn by_differences(model: &NoProp, path: &str, direction: &[f64]) -> f64 {
    const STEP: f64 = 0.002;
    let device = Device::flex();
    let loss = |step: f64| {
        let mut mapper = Move {
            path,
            here: Vec::new(),
            direction,
            step,
        };
        let moved = model.clone().map(&mut mapper);
        scalar(&moved.loss(batch_of(model.method(), &device)).total)
    };
    let difference = |step: f64| loss(step) - loss(-step);
    (8.0 * difference(STEP) - difference(2.0 * STEP)) / (12.0 * STEP)
}

/// Checks the gradient of every parameter in seven directions: those of its three largest entries and four random ones.
/// A kink of ReLU or of the maximum of a pooling within a step spoils single directions, so the median of the errors
/// counts.
fn check(settings: Ct) {
    let method = Method::Ct(settings);
    let device = Device::flex();
    let mut plain = NoProp::new(&method, &config(), 74, &device).unwrap();
    if let Parts::Ct(parts) = &mut plain.parts {
        parts.network = parts.network.clone().map(&mut Enlarge);
    }
    let model = plain.clone().train();
    let loss = model.loss(batch_of(&method, &device.autodiff()));
    let gradients = loss.total.backward();
    let mut collect = Collect {
        gradients: &gradients,
        here: Vec::new(),
        found: Vec::new(),
    };
    model.visit(&mut collect);
    let mut noise = NoiseSource::new(5, Purpose::Initialising, 0);
    for part in [
        "backbone",
        "time_encoder",
        "label_encoder",
        "head",
        "schedule",
    ] {
        let is_there = collect.found.iter().any(|(path, _)| path.contains(part));
        assert!(is_there, "{part}");
    }
    for (path, gradient) in collect.found {
        let gradient = gradient.unwrap_or_else(|| panic!("{path} has no gradient"));
        let gradient: Vec<f64> = gradient.into_iter().map(f64::from).collect();
        let count = gradient.len();
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|&a, &b| gradient[b].abs().total_cmp(&gradient[a].abs()));
        let unit = |k: usize| {
            let place = order[k % count];
            (0..count)
                .map(|i| f64::from(u8::from(i == place)))
                .collect()
        };
        let random = |_| {
            let values: Vec<f64> = noise.normal(count).into_iter().map(f64::from).collect();
            let size = norm(&values);
            values.into_iter().map(|x| x / size).collect::<Vec<_>>()
        };
        let directions = (0..3).map(unit).chain((0..4).map(random));
        let mut errors: Vec<f64> = directions
            .map(|direction| {
                let exact: f64 = gradient.iter().zip(&direction).map(|(g, x)| g * x).sum();
                (by_differences(&plain, &path, &direction) - exact).abs()
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        let size = norm(&gradient);
        println!("{path}: norm {size:.5}, errors {errors:?}");
        // The loss is of order 1 in f32, so its rounding divided by the step is 1e-4.
        let limit = 2e-4 + 2e-3 * size;
        assert!(errors[3] < limit, "{path}: norm {size}, errors {errors:?}");
        // A limit that hid the gradient would prove nothing.
        assert!(size > 4.0 * limit, "{path}: norm {size}");
    }
}

/// The comparison fails where the weight SNR′, the features, the encoding of the time or z_t is detached.
#[test]
fn gradients_of_the_papers_loss_agree_with_differences() {
    check(ct());
}

/// The comparison fails where the class embeddings of the skip connection are detached.
#[test]
fn gradients_of_the_new_loss_agree_with_differences() {
    check(Ct {
        loss: DenoisingLoss::CrossEntropy,
        weight: Weighting::Flat,
        label_smoothing: 0.1,
        skip: true,
        draws: 3,
        ..ct()
    });
}
