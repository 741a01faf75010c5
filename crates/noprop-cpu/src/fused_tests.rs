//! The operations of a network in airbench's shape against burn's own, values and gradients.

use burn::module::{Module, Param};
use burn::nn::conv::Conv2dConfig;
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::{Device, Distribution, Tensor};

use super::*;

fn random(shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::random(shape, Distribution::Normal(0.3, 1.5), device)
}

fn near<const D: usize>(a: Tensor<D>, b: Tensor<D>, tolerance: f32) {
    let difference = (a - b).abs().max().into_scalar::<f32>();
    assert!(difference < tolerance, "they differ by {difference}");
}

fn norm_layer(device: &Device) -> BatchNorm {
    let mut layer = BatchNormConfig::new(3).with_momentum(0.4).init(device);
    layer.gamma = Param::from_tensor(Tensor::full([3], 1.3, device));
    layer.beta = Param::from_tensor(Tensor::full([3], 0.2, device));
    layer
}

#[test]
fn norm_gelu_is_burns_norm_and_the_plain_gelu() {
    let device = Device::flex().autodiff();
    let x = random([5, 3, 4, 7], &device).require_grad();
    let weight = random([5, 3, 4, 7], &device);
    let results = [false, true].map(|fused| {
        let layer = norm_layer(&device);
        let y = match fused {
            true => norm_gelu(&layer, x.clone()),
            false => gelu(layer.forward(x.clone())),
        };
        let gradients = (y.clone() * weight.clone()).sum().backward();
        let of = [&layer.gamma, &layer.beta].map(|p| p.val().grad(&gradients).unwrap());
        let statistics = [
            layer.running_mean.value_sync(),
            layer.running_var.value_sync(),
        ];
        let plain = norm_gelu(&layer.clone().valid(), x.clone().inner());
        (
            y.inner(),
            x.grad(&gradients).unwrap(),
            of,
            statistics,
            plain,
        )
    });
    let [
        (y, of_x, of, statistics, plain),
        (y_2, of_x_2, of_2, statistics_2, plain_2),
    ] = results;
    near(y, y_2, 1e-5);
    near(of_x, of_x_2, 1e-4);
    near(plain, plain_2, 1e-5);
    for (a, b) in of.into_iter().zip(of_2) {
        near(a, b, 1e-3);
    }
    for (a, b) in statistics.into_iter().zip(statistics_2) {
        near(a, b, 1e-5);
    }
}

#[test]
fn a_convolution_with_gelu_is_burns() {
    let device = Device::flex().autodiff();
    let layer = Conv2dConfig::new([2, 5], [2, 2]).init(&device);
    let x = random([4, 2, 6, 5], &device).require_grad();
    let weight = random([4, 5, 5, 4], &device);
    let results = [false, true].map(|fused| {
        let y = match fused {
            true => conv2d_gelu(&layer, x.clone()),
            false => gelu(layer.forward(x.clone())),
        };
        let gradients = (y.clone() * weight.clone()).sum().backward();
        let bias = layer.bias.as_ref().unwrap().val();
        (
            y.inner(),
            x.grad(&gradients).unwrap(),
            layer.weight.val().grad(&gradients).unwrap(),
            bias.grad(&gradients).unwrap(),
        )
    });
    let [a, b] = results;
    near(a.0, b.0, 1e-5);
    near(a.1, b.1, 1e-5);
    near(a.2, b.2, 1e-3);
    near(a.3, b.3, 1e-3);
}

#[test]
fn pooling_is_burns() {
    let device = Device::flex().autodiff();
    for (size, window) in [
        ([6, 8], [2, 2]),
        ([7, 5], [2, 2]),
        ([3, 3], [3, 3]),
        ([4, 6], [2, 3]),
    ] {
        // Ties: the first of equal values gets the gradient.
        let x = random([3, 2, size[0], size[1]], &device)
            .round()
            .require_grad();
        let plain = MaxPool2dConfig::new(window).with_strides(window).init();
        let (fast, slow) = (max_pool(x.clone(), window), plain.forward(x.clone()));
        let weight = random(fast.dims(), &device);
        near(fast.clone().inner(), slow.clone().inner(), 1e-9);
        let gradient = |y: Tensor<4>| x.grad(&(y * weight.clone()).sum().backward()).unwrap();
        near(gradient(fast), gradient(slow), 1e-9);
    }
}
