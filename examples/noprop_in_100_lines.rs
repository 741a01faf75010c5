//! NoProp-CT (Li, Teh, Pascanu, arXiv:2503.24322) in one file, on burn alone:
//! `cargo run --release --example noprop_in_100_lines`
//!
//! Points on three spirals have three labels. A label y is a point u_y in embedding space, here a unit
//! vector. Training adds noise to u_y and teaches one small network to see u_y behind the noise, given the
//! input x and the time t. A training step looks at a single time, so no gradient ever crosses two
//! denoising steps. Inference starts from pure noise and walks to a label, asking the network T times.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::{log_softmax, relu, sigmoid, softmax};
use burn::tensor::{Device, Distribution, Tensor, TensorData};

const CLASSES: usize = 3;
const HIDDEN: usize = 128;
/// T, the steps of a walk.
const STEPS: usize = 20;

#[derive(Module, Debug)]
struct Net {
    first: Linear,
    second: Linear,
    third: Linear,
    /// p̂_out(y|z_1): reads the class off the end of the walk.
    head: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Self {
            first: linear(2 + CLASSES + 1, HIDDEN),
            second: linear(HIDDEN, HIDDEN),
            third: linear(HIDDEN, CLASSES),
            head: linear(CLASSES, CLASSES),
        }
    }

    /// û(z_t, x, t): softmax weights times the embeddings, which are unit vectors. `[n, CLASSES]`.
    fn u_hat(&self, x: &Tensor<2>, z: Tensor<2>, t: Tensor<2>) -> Tensor<2> {
        let hidden = relu(self.first.forward(Tensor::cat(vec![x.clone(), z, t], 1)));
        softmax(self.third.forward(relu(self.second.forward(hidden))), 1)
    }
}

/// λ(t) = log SNR(t), a fixed schedule from noise (t = 0) to clean (t = 1). ᾱ = σ(λ), 1 − ᾱ = σ(−λ).
fn lambda(t: Tensor<2>) -> Tensor<2> {
    t * 6.0 - 3.0
}

/// z_t = √ᾱ u_y + √(1−ᾱ) ε (eq. 5): a noisy label.
fn diffuse(u_y: &Tensor<2>, t: Tensor<2>) -> Tensor<2> {
    let noise = u_y.random_like(Distribution::Normal(0.0, 1.0));
    sigmoid(lambda(t.clone())).sqrt() * u_y.clone() + sigmoid(-lambda(t)).sqrt() * noise
}

/// Eq. 9: −log p̂_out(y|z_1) + ½ SNR′(t) ‖û(z_t, x, t) − u_y‖², for one random t per point. The third term
/// of eq. 9, KL(q(z_0|y) ‖ N(0, I)), is constant here: embeddings and schedule are fixed.
fn loss(net: &Net, x: &Tensor<2>, u_y: &Tensor<2>) -> Tensor<1> {
    let shape = [x.dims()[0], 1];
    let t = Tensor::random(shape, Distribution::Uniform(0.0, 1.0), &x.device());
    let snr_prime = lambda(t.clone()).exp() * 6.0;
    let u_hat = net.u_hat(x, diffuse(u_y, t.clone()), t);
    let denoise = snr_prime * (u_hat - u_y.clone()).square().sum_dim(1) * 0.5;
    let z_1 = diffuse(u_y, Tensor::ones(shape, &x.device()));
    let cross_entropy = -(log_softmax(net.head.forward(z_1), 1) * u_y.clone()).sum_dim(1);
    (denoise + cross_entropy).mean()
}

/// The walk z_0 → z_1 by DDIM: each step solves the probability-flow ODE exactly for a constant û.
fn classify(net: &Net, x: &Tensor<2>) -> Vec<i64> {
    let n = x.dims()[0];
    let mut z = Tensor::random([n, CLASSES], Distribution::Normal(0.0, 1.0), &x.device());
    for k in 0..STEPS {
        let at = |k: usize| Tensor::full([n, 1], k as f64 / STEPS as f64, &x.device());
        let u_hat = net.u_hat(x, z.clone(), at(k));
        let (now, next) = (lambda(at(k)), lambda(at(k + 1)));
        let keep = (sigmoid(-next.clone()) / sigmoid(-now.clone())).sqrt();
        z = (sigmoid(next).sqrt() - keep.clone() * sigmoid(now).sqrt()) * u_hat + keep * z;
    }
    let class = net.head.forward(z).argmax(1).into_data();
    class.iter::<i64>().collect()
}

/// `n` points on three spirals, `[n, 2]`, and the embeddings of their labels i mod 3, `[n, CLASSES]`.
fn spirals(n: usize, device: &Device) -> (Tensor<2>, Tensor<2>) {
    let (mut x, mut u_y) = (Vec::new(), vec![0_f32; n * CLASSES]);
    for i in 0..n {
        let radius = 0.1 + 0.9 * (i as f32 * 0.618_034).fract();
        let angle = (i % CLASSES) as f32 * core::f32::consts::TAU / 3.0 + 5.0 * radius;
        x.extend([radius * angle.cos(), radius * angle.sin()]);
        u_y[i * CLASSES + i % CLASSES] = 1.0;
    }
    let x: Tensor<2> = Tensor::from_data(TensorData::new(x, [n, 2]), device);
    let jitter = x.random_like(Distribution::Normal(0.0, 0.03));
    let u_y = Tensor::from_data(TensorData::new(u_y, [n, CLASSES]), device);
    (x + jitter, u_y)
}

fn main() {
    let device = Device::flex();
    device.seed(0);
    let tracked = device.clone().autodiff();
    let (mut net, mut optimizer) = (Net::new(&tracked), AdamConfig::new().init());
    for _ in 0..2000 {
        let (x, u_y) = spirals(256, &tracked);
        let gradients = GradientsParams::from_grads(loss(&net, &x, &u_y).backward(), &net);
        net = optimizer.step(3e-3, net, gradients);
    }
    let (x, _) = spirals(3000, &device);
    let classes = classify(&net.valid(), &x);
    let is_right = |i: &usize| classes[*i] == (i % CLASSES) as i64;
    let right = (0..3000).filter(is_right).count();
    println!("{:.1} % of 3000 new points are right", right as f64 / 30.0);
}
