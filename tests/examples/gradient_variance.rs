//! The noise of the gradient of a training step, for each way of drawing the times of its batch.
//!
//! `cargo build --release --workspace --example gradient_variance`, then
//! `target/release/examples/gradient_variance [DRAWS]`. The program takes one batch of images, once with the weights of
//! the page and once with initial weights. For each way of drawing times it computes DRAWS gradients g of NoProp-CT's
//! denoising term, and prints E‖g − E g‖² / ‖E g‖².

use std::error::Error;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use noprop_core::dropout::Dropout;
use noprop_core::method::{Batch, Ct, HostDraws, TimeSampling};
use noprop_core::network::Network;
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_core::{Classifier, Method, NoProp};
use noprop_data::DeviceSplit;
use noprop_tests::mnist_subset;

const MNIST: &[u8] = include_bytes!("../../assets/mnist.safetensors");
const BATCH: usize = 128;
const DRAWS: u64 = 100;
const KINDS: [TimeSampling; 4] = [
    TimeSampling::Uniform,
    TimeSampling::Stratified,
    TimeSampling::Antithetic,
    TimeSampling::Importance,
];

fn main() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args().nth(1);
    let draws = argument.map_or(Ok(DRAWS), |text| text.parse())?;
    let device = Device::flex().autodiff();
    let classifier = Classifier::load(MNIST.to_vec(), &Device::flex())?;
    let card = classifier.card();
    let images = mnist_subset(BATCH)?.train;
    let channels = card.model.input[0];
    let split = DeviceSplit::new(&images, &card.normalization, channels, &device);

    println!("{draws} gradients of a batch of {BATCH} for each cell: E‖g − E g‖² / ‖E g‖²");
    println!("| weights | bound on SNR | uniform | stratified | antithetic | importance |");
    println!("|---|---|---|---|---|---|");
    for name in ["initial", "trained"] {
        for max_snr in [None, Some(1.0)] {
            let mut cells = Vec::new();
            for time_sampling in KINDS {
                let method = Method::Ct(Ct {
                    max_snr,
                    time_sampling,
                    ..ct(&card.method)?
                });
                let initial = NoProp::new(&method, &card.model, 0, &device)?;
                let model = match name {
                    "initial" => initial,
                    // A network that was read from a file is frozen, so its weights are loaded into a new one.
                    _ => initial.load_record(classifier.model().clone().into_record()),
                };
                cells.push(format!("{:.3}", noise(&model, &split, draws)));
            }
            let bound = max_snr.map_or("none".into(), |bound| bound.to_string());
            println!("| {name} | {bound} | {} |", cells.join(" | "));
        }
    }
    Ok(())
}

fn ct(method: &Method) -> Result<Ct, String> {
    match method {
        Method::Ct(ct) => Ok(ct.clone()),
        _ => Err(format!(
            "the weights are of method {}, not of NoProp-CT",
            method.name()
        )),
    }
}

/// Computes E‖g − E g‖² / ‖E g‖² of the denoising term, from unbiased estimates of numerator and denominator.
fn noise(model: &NoProp, split: &DeviceSplit, draws: u64) -> f64 {
    let dim = model.config().latent_dim();
    let all: Vec<usize> = (0..BATCH).collect();
    let (mut sum, mut squares): (Vec<f64>, f64) = (Vec::new(), 0.0);
    for draw in 0..draws {
        let mut source = NoiseSource::new(0, Purpose::Training, draw);
        let host = HostDraws::new(&mut source, BATCH, dim, model.method());
        let (images, labels) = split.batch(&all);
        let batch = Batch {
            images,
            labels,
            draws: host.upload(0..BATCH, &model.device()),
            dropout: Dropout::Off,
            block: None,
        };
        let loss = model.loss(batch);
        let gradients = GradientsParams::from_grads(loss.total.backward(), model);
        let gradient = flat(model, &gradients);
        sum.resize(gradient.len(), 0.0);
        for (sum, &g) in sum.iter_mut().zip(&gradient) {
            let g = f64::from(g);
            *sum += g;
            squares += g * g;
        }
    }
    let n = draws as f64;
    let mean_squared: f64 = sum.iter().map(|sum| (sum / n).powi(2)).sum();
    let variance = (squares / n - mean_squared) * n / (n - 1.0);
    variance / (mean_squared - variance / n)
}

/// The gradients of backbone and denoiser in one vector; the denoising term reaches no other parameters.
fn flat(model: &NoProp, gradients: &GradientsParams) -> Vec<f32> {
    struct Flat<'a>(&'a GradientsParams, Vec<f32>);
    impl ModuleVisitor for Flat<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                self.1.extend(gradient.into_data().iter::<f32>());
            }
        }
    }
    let mut flat = Flat(gradients, Vec::new());
    if let Network::Shared(shared) = model.network() {
        shared.visit(&mut flat);
    }
    flat.1
}
