//! Tests of walks of flow matching.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::backbone::{BackboneConfig, CnnConfig};
use crate::config::{HeadConfig, ModelConfig};
use crate::method::{Fm, Method, Parts};
use crate::model::NoProp;
use crate::network::Features;
use crate::noise::{NoiseSource, Purpose};
use crate::sampler::{EULER, HEUN, Sampler, Walk};

/// The number of images: enough for the kinks of ReLU, which a walk may meet anywhere, to average out.
const IMAGES: usize = 64;

/// A network whose velocity depends on z and t, but gently enough for few steps.
fn model() -> (NoProp, Features) {
    let device = Device::flex();
    let config = ModelConfig {
        classes: 4,
        input: [1, 8, 8],
        embed_dim: 16,
        time_scale: 1.0,
        backbone: BackboneConfig::Cnn(CnnConfig {
            width: 2,
            dropout: 0.0,
        }),
        ..Default::default()
    };
    let model = NoProp::new(&Method::Fm(Fm::default()), &config, 3, &device).unwrap();
    let mut noise = NoiseSource::new(3, Purpose::Initialising, 0);
    let features = model.prepare(noise.normal_tensor([IMAGES, 16], &device) * 2.0);
    (model, features)
}

/// The final latents z_1 of the walks of a model.
fn end((model, features): &(NoProp, Features), sampler: Sampler, steps: usize) -> Tensor<2> {
    let walk = Walk::new(sampler, steps).with_seed(1);
    model.walk(features, &walk, 0).unwrap()
}

fn distance(a: Tensor<2>, b: Tensor<2>) -> f64 {
    f64::from((a - b).square().sum().sqrt().into_scalar::<f32>())
}

#[test]
fn euler_has_order_one_and_heun_order_two() {
    let model = model();
    let exact = end(&model, HEUN, 512);
    for (sampler, order) in [(EULER, 1.0), (HEUN, 2.0)] {
        let errors = [2, 8].map(|steps| distance(end(&model, sampler, steps), exact.clone()));
        let measured = (errors[0] / errors[1]).log2() / 2.0;
        // ReLU bends the velocity at single points, which costs either method a little.
        assert!(
            (measured - order).abs() < 0.35,
            "{sampler}: {measured}, {errors:?}"
        );
    }
}

#[test]
fn one_step_of_euler_is_the_shortcut() {
    let walked = model();
    let (model, features) = &walked;
    let walk = Walk::new(EULER, 1).with_seed(1);
    let z_0 = model.initial_latents(&walk, 0, IMAGES);
    let estimate = model.estimate(features, z_0, 0.0);
    // Both compute the same products in the same order, except for one addition.
    assert!(distance(end(&walked, EULER, 1), estimate.u_hat) < 1e-5);
}

/// Gives a denoiser weights of order 1 and biases so large that every ReLU is the identity near z = 0. Its velocity is
/// then linear in z, and smooth in t through the sinusoidal embedding.
struct Smooth {
    here: Vec<String>,
    noise: NoiseSource,
}

impl ModuleMapper for Smooth {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.here.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.here.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.here.join(".");
        param.map(|tensor| {
            let (shape, device) = (tensor.dims(), tensor.device());
            if D == 1 {
                let bias = match path.as_str() {
                    "head.fc3.bias" => 0.0,
                    "head.fc2.bias" => 60.0,
                    "head.fc1.bias" => 25.0,
                    _ => 6.0,
                };
                return Tensor::full(shape, bias, &device);
            }
            let fan_in = shape[0] as f32;
            let values = self.noise.normal(shape.iter().product()).into_iter();
            let values: Vec<f32> = values.map(|x| x / fan_in.sqrt()).collect();
            Tensor::from_data(TensorData::new(values, shape), &device)
        })
    }
}

/// A network with a smooth velocity that is zero at z = 0 and t = 0.
fn smooth() -> (NoProp, Features) {
    let device = Device::flex();
    let config = ModelConfig {
        classes: 4,
        input: [1, 8, 8],
        embed_dim: 8,
        time_dim: 4,
        time_scale: 3.0,
        head: HeadConfig {
            hidden: [8, 8],
            batch_norm: false,
        },
        backbone: BackboneConfig::Cnn(CnnConfig {
            width: 2,
            dropout: 0.0,
        }),
        ..Default::default()
    };
    let mut model = NoProp::new(&Method::Fm(Fm::default()), &config, 3, &device).unwrap();
    let Parts::Fm(parts) = &mut model.parts else {
        panic!("the method is flow matching")
    };
    let mut mapper = Smooth {
        here: Vec::new(),
        noise: NoiseSource::new(8, Purpose::Initialising, 0),
    };
    parts.network.denoiser = parts.network.denoiser.clone().map(&mut mapper);
    let features = parts.network.prepare(Tensor::zeros([IMAGES, 8], &device));
    let offset = parts.network.class_logits(&features).narrow(0, 0, 1);
    /// Subtracts a value from the bias of the last layer.
    struct Subtract(Tensor<1>, bool);
    impl ModuleMapper for Subtract {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.1 |= name == "fc3";
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| match self.1 && D == 1 {
                true => tensor.clone() - self.0.clone().reshape(tensor.dims()),
                false => tensor,
            })
        }
    }
    let mut mapper = Subtract(offset.flatten(0, 1), false);
    parts.network.denoiser = parts.network.denoiser.clone().map(&mut mapper);
    (model, features)
}

/// Halving the step halves the error of Euler and quarters that of Heun, closely, since nothing bends the velocity
/// at single points. The order of Heun is 1 where its second stage evaluates the velocity at the time or at the
/// latents of the first.
#[test]
fn orders_are_exact_where_the_velocity_is_smooth() {
    let model = smooth();
    let exact = end(&model, HEUN, 1024);
    for (sampler, order) in [(EULER, 1.0), (HEUN, 2.0)] {
        let [coarse, fine] =
            [16, 32].map(|steps| distance(end(&model, sampler, steps), exact.clone()));
        let measured = (coarse / fine).log2();
        println!("{sampler}: order {measured:.3}, errors {coarse:.2e}, {fine:.2e}");
        // The next order of the error still contributes. f32 adds about 1e-5 to all walks together.
        assert!((measured - order).abs() < 0.1, "{sampler}: {measured}");
        assert!(fine > 3e-4, "{sampler}: {fine} is close to rounding");
    }
}
