//! Tests of walks of flow matching.

use burn::tensor::{Device, Tensor};

use crate::backbone::{BackboneConfig, CnnConfig};
use crate::config::ModelConfig;
use crate::method::{Fm, Method};
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
