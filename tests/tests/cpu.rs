//! The operations of `noprop-cpu` give what burn's give: outputs, gradients, running statistics, AdamW.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::optim::{AdamWConfig, AdamWState, LearningRate, Optimizer};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use noprop_cpu::FusedAdamW;

/// Numbers that do not depend on the device's random generator, which the tests share.
fn numbers<const D: usize>(shape: [usize; D], seed: u32, device: &Device) -> Tensor<D> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn assert_close<const D: usize>(ours: Tensor<D>, burns: Tensor<D>, limit: f32, what: &str) {
    assert_eq!(ours.dims(), burns.dims(), "{what}");
    let scale = burns.clone().abs().max().into_scalar::<f32>().max(1.0);
    let worst = (ours - burns).abs().max().into_scalar::<f32>();
    assert!(
        worst <= limit * scale,
        "{what}: {worst} on values up to {scale}"
    );
}

fn conv(channels: [usize; 2], kernel: usize, stride: usize, pad: usize, device: &Device) -> Conv2d {
    let mut layer = Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(false)
        .init(device);
    let [c_in, c_out] = channels;
    layer.weight = Param::from_tensor(numbers([c_out, c_in, kernel, kernel], 7, device));
    layer
}

/// Kernel, stride, padding and size of the image of each convolution: those of a ResNet on 28×28 and 32×32 pixels down
/// to the last layers, where most of the kernel meets only padding, and unusual ones.
const CONVOLUTIONS: [(usize, usize, usize, [usize; 2]); 15] = [
    (7, 2, 3, [28, 28]),
    (3, 1, 1, [7, 7]),
    (3, 1, 1, [8, 8]),
    (3, 2, 1, [7, 7]),
    (3, 1, 1, [4, 4]),
    (3, 2, 1, [8, 8]),
    (3, 2, 1, [4, 4]),
    (3, 1, 1, [2, 2]),
    (3, 2, 1, [2, 2]),
    (3, 1, 1, [1, 1]),
    (1, 1, 0, [4, 4]),
    (1, 2, 0, [5, 6]),
    (3, 2, 0, [6, 9]),
    (5, 1, 2, [3, 1]),
    (3, 1, 3, [2, 3]),
];

#[test]
fn convolutions_and_their_gradients_are_burns() {
    let device = Device::flex().autodiff();
    for (kernel, stride, pad, [height, width]) in CONVOLUTIONS {
        let layer = conv([3, 5], kernel, stride, pad, &device);
        let run = |forward: &dyn Fn(Tensor<4>) -> Tensor<4>| {
            let x = numbers([4, 3, height, width], 3, &device).require_grad();
            let y = forward(x.clone());
            // Each value has another weight in the sum, so that all gradients differ.
            let weights = numbers(y.dims(), 11, &device);
            let gradients = (y.clone() * weights).sum().backward();
            let of_x = x.grad(&gradients).unwrap();
            let of_weight = layer.weight.val().grad(&gradients).unwrap();
            (y.inner(), of_x, of_weight)
        };
        let ours = run(&|x| noprop_cpu::conv2d(&layer, x));
        let burns = run(&|x| layer.forward(x));
        let name = format!("{kernel}×{kernel}, stride {stride}, padding {pad}, {height}×{width}");
        // The tolerance covers sums of at most 4·28·28 products below 1 in another order.
        assert_close(ours.0, burns.0, 1e-5, &format!("output, {name}"));
        assert_close(ours.1, burns.1, 1e-5, &format!("gradient of x, {name}"));
        assert_close(
            ours.2,
            burns.2,
            1e-5,
            &format!("gradient of the weight, {name}"),
        );
    }
}

#[test]
fn without_a_graph_a_convolution_is_the_same() {
    let device = Device::flex();
    let layer = conv([3, 5], 3, 2, 1, &device);
    let x = numbers([4, 3, 7, 7], 3, &device);
    // The input of a later layer is in memory channel by channel; burn's own is image by image.
    let x = numbers([3, 4, 7, 7], 3, &device).swap_dims(0, 1) + x;
    let ours = noprop_cpu::conv2d(&layer, x.clone());
    assert_close(ours, layer.forward(x), 1e-5, "output");
}

#[test]
fn a_bias_is_added_and_gets_its_gradient() {
    let device = Device::flex().autodiff();
    let mut layer = conv([3, 5], 3, 1, 1, &device);
    layer.bias = Some(Param::from_tensor(numbers([5], 9, &device)));
    let run = |forward: &dyn Fn(Tensor<4>) -> Tensor<4>| {
        let y = forward(numbers([4, 3, 7, 7], 3, &device));
        let weights = numbers(y.dims(), 11, &device);
        let gradients = (y.clone() * weights).sum().backward();
        let bias = layer.bias.as_ref().unwrap().val();
        (y.inner(), bias.grad(&gradients).unwrap())
    };
    let ours = run(&|x| noprop_cpu::conv2d(&layer, x));
    let burns = run(&|x| layer.forward(x));
    // The tolerance covers sums of 4·7·7 numbers below 1 in another order.
    assert_close(ours.0, burns.0, 1e-5, "output");
    assert_close(ours.1, burns.1, 1e-5, "gradient of the bias");
}

#[test]
fn what_is_not_supported_runs_as_burns() {
    let device = Device::flex();
    let x = numbers([2, 4, 6, 6], 3, &device);
    let grouped = Conv2dConfig::new([4, 8], [3, 3])
        .with_groups(2)
        .init(&device);
    let biased = Conv2dConfig::new([4, 8], [3, 3])
        .with_dilation([2, 2])
        .init(&device);
    for layer in [grouped, biased] {
        let ours = noprop_cpu::conv2d(&layer, x.clone());
        assert_close(ours, layer.forward(x.clone()), 0.0, "output");
    }
}

fn norm(channels: usize, device: &Device) -> BatchNorm {
    let mut layer = BatchNormConfig::new(channels).init(device);
    layer.gamma = Param::from_tensor(numbers([channels], 5, device) + 1.5);
    layer.beta = Param::from_tensor(numbers([channels], 6, device));
    layer
}

#[test]
fn norm_shortcut_and_relu_and_their_gradients_are_burns() {
    let device = Device::flex().autodiff();
    for (with_shortcut, with_relu) in [(false, true), (true, true), (false, false)] {
        let run = |fused: bool| {
            let layer = norm(5, &device);
            let x = numbers([4, 5, 3, 7], 1, &device).require_grad();
            let shortcut = numbers([4, 5, 3, 7], 2, &device).require_grad();
            let added = with_shortcut.then(|| shortcut.clone());
            let y = match (fused, with_relu) {
                (true, true) => noprop_cpu::norm_relu(&layer, x.clone(), added),
                (true, false) => noprop_cpu::norm(&layer, x.clone()),
                (false, true) => relu(match added {
                    Some(added) => layer.forward(x.clone()) + added,
                    None => layer.forward(x.clone()),
                }),
                (false, false) => layer.forward(x.clone()),
            };
            let weights = numbers(y.dims(), 11, &device);
            let gradients = (y.clone() * weights).sum().backward();
            let statistics = [&layer.running_mean, &layer.running_var];
            (
                [y.inner(), x.grad(&gradients).unwrap()],
                shortcut.grad(&gradients),
                [&layer.gamma, &layer.beta].map(|p| p.val().grad(&gradients).unwrap()),
                statistics.map(|s| s.value_sync().inner()),
            )
        };
        let (ours, burns) = (run(true), run(false));
        let name = format!("shortcut {with_shortcut}, relu {with_relu}");
        // The tolerance covers means of 84 numbers in another order.
        for (ours, burns) in ours.0.into_iter().zip(burns.0) {
            assert_close(ours, burns, 1e-5, &name);
        }
        assert_eq!(ours.1.is_some(), with_shortcut);
        if let (Some(ours), Some(burns)) = (ours.1, burns.1) {
            assert_close(ours, burns, 1e-6, &name);
        }
        for (ours, burns) in ours.2.into_iter().zip(burns.2) {
            assert_close(ours, burns, 1e-5, &name);
        }
        for (ours, burns) in ours.3.into_iter().zip(burns.3) {
            assert_close(ours, burns, 1e-6, &name);
        }
    }
}

#[test]
fn in_evaluation_a_norm_uses_the_running_statistics() {
    let device = Device::flex().autodiff();
    let layer = norm(5, &device);
    layer.forward(numbers([8, 5, 3, 3], 4, &device) * 3.0 + 1.0);
    let layer = layer.valid();
    let device = Device::flex();
    let [x, shortcut] = [1, 2].map(|seed| numbers([4, 5, 3, 7], seed, &device));
    let ours = noprop_cpu::norm_relu(&layer, x.clone(), Some(shortcut.clone()));
    assert_close(ours, relu(layer.forward(x) + shortcut), 1e-6, "output");
}

#[test]
fn a_diverged_value_stays_visible() {
    let device = Device::flex();
    let x = Tensor::<4>::full([1, 5, 1, 1], f32::NAN, &device);
    let y = noprop_cpu::norm_relu(&norm(5, &device), x, None);
    assert!(y.into_data().iter::<f32>().all(f32::is_nan));
}

#[test]
fn fused_adamw_is_burns_to_the_bit() {
    let device = Device::flex();
    for weight_decay in [0.0, 1e-2] {
        let burns = AdamWConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay(weight_decay)
            .build();
        let ours = FusedAdamW::new(1e-8, weight_decay);
        // There are more values than one task updates, and their number is no multiple of a vector's width.
        let start = numbers([211, 317], 1, &device);
        let (mut p, mut q) = (start.clone(), start);
        let (mut p_state, mut q_state) = (None, None);
        for step in 0..5_u32 {
            let gradient = numbers([211, 317], 100 + step, &device) * 1e-3;
            let lr = 1e-3 * f64::from(step + 1);
            (p, p_state) = step_of(&burns, lr, p, gradient.clone(), p_state);
            (q, q_state) = step_of(&ours, lr, q, gradient, q_state);
        }
        let [p, q] = [p, q].map(|x| x.into_data());
        assert!(p == q, "parameters differ with a decay of {weight_decay}");
        let [p, q] = [p_state, q_state].map(|state| {
            let momentum = state.unwrap().momentum;
            let values = [momentum.moment_1, momentum.moment_2].map(|m| m.into_data());
            (momentum.time, values)
        });
        assert!(p == q, "moments differ with a decay of {weight_decay}");
    }
}

fn step_of<O: Optimizer<State<2> = AdamWState<2>>>(
    optimizer: &O,
    lr: LearningRate,
    p: Tensor<2>,
    gradient: Tensor<2>,
    state: Option<AdamWState<2>>,
) -> (Tensor<2>, Option<AdamWState<2>>) {
    optimizer.step(lr, p, gradient, state)
}

#[test]
fn a_weighted_sum_is_burns_to_the_bit() {
    let device = Device::flex();
    let parts = [(1, 0.25), (2, 0.5), (3, 0.25)];
    let parts = parts.map(|(seed, weight)| (numbers([211, 317], seed, &device), weight));
    for count in 1..=parts.len() {
        let parts = || parts[..count].iter().cloned();
        let ours = noprop_cpu::weighted_sum(parts()).unwrap();
        let burns = parts().map(|(x, w)| x.mul_scalar(w)).reduce(|a, b| a + b);
        assert!(
            ours.into_data() == burns.unwrap().into_data(),
            "{count} parts"
        );
    }
    assert!(noprop_cpu::weighted_sum::<2>([].into_iter()).is_none());
}
