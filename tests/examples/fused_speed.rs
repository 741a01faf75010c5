//! Seconds of a walk: the fused solver against tensor operations on the same adapter.
//!
//! `cargo build --release --workspace --example fused_speed`, then
//! `target/release/examples/fused_speed [software] [SAMPLER…]`; DDIM where none is named.

use std::error::Error;
use std::time::Instant;

use burn::tensor::{Device, DeviceKind, Tensor};
use noprop_core::sampler::DDIM;
use noprop_core::{Classifier, Features, NoProp, Sampler, Walk, WalkError};
use noprop_gpu::{AdapterChoice, FusedSolver, Gpu, SolverInput, SolverWeights, StepTables};
use noprop_tests::mnist_subset;
use pollster::block_on;

const MNIST: &[u8] = include_bytes!("../../assets/mnist.safetensors");
const STEPS: usize = 40;
const REPEATS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let software = arguments.iter().any(|argument| argument == "software");
    arguments.retain(|argument| argument != "software");
    let mut samplers: Vec<Sampler> = arguments
        .iter()
        .map(|argument| argument.parse())
        .collect::<Result<_, _>>()?;
    if samplers.is_empty() {
        samplers.push(DDIM);
    }
    let (choice, kind) = if software {
        (AdapterChoice::Software, DeviceKind::Cpu)
    } else {
        (AdapterChoice::Fastest, DeviceKind::DefaultDevice)
    };
    let on_cpu = Classifier::load(MNIST.to_vec(), &Device::flex())?;
    let on_gpu = Classifier::load(MNIST.to_vec(), &Device::wgpu(kind))?;
    let (cpu_model, gpu_model) = (on_cpu.model(), on_gpu.model());
    let gpu = block_on(Gpu::open(choice))?;
    let solver_weights = block_on(SolverWeights::from_model(cpu_model))?;
    let solver = block_on(FusedSolver::new(&gpu, solver_weights))?;

    let images = mnist_subset(1000)?.test;
    let thousand = on_cpu.features(&images.images)?;
    let one = on_cpu.features(images.image(0))?;

    println!(
        "adapter: {}; T = {STEPS}; medians of {REPEATS}",
        solver.adapter()
    );
    println!(
        "| sampler | batch | plain tensors on the adapter | fused | ratio | plain tensors on the CPU |"
    );
    println!("|---|---|---|---|---|---|");
    for sampler in samplers {
        for (what, features, seeds) in [
            ("1,000 images", &thousand, 1),
            ("64 seeds of one image", &one, 64),
        ] {
            let walk = Walk::new(sampler, STEPS);
            let plain = plain(gpu_model, features, seeds, &walk)?;
            let cpu = plain_on(cpu_model, features, seeds, &walk)?;
            let fused = fused(&solver, cpu_model, features, seeds, &walk)?;
            println!(
                "| {sampler} | {what} | {:.1} ms | {:.1} ms | {:.1} | {:.1} ms |",
                1e3 * plain,
                1e3 * fused,
                plain / fused,
                1e3 * cpu
            );
        }
    }
    Ok(())
}

/// Seconds of walks by tensor operations, from z_0 to z_1.
fn plain(model: &NoProp, features: &Features, seeds: usize, walk: &Walk) -> Result<f64, WalkError> {
    let device = model.device();
    let moved = |tensor: &Tensor<2>| Tensor::from_data(tensor.to_data(), &device);
    let features = Features {
        values: moved(&features.values),
        fused: moved(&features.fused),
    };
    plain_on(model, &features, seeds, walk)
}

fn plain_on(
    model: &NoProp,
    features: &Features,
    seeds: usize,
    walk: &Walk,
) -> Result<f64, WalkError> {
    let features = features.repeat(seeds);
    let mut failure = None;
    let seconds = median(|| match model.walk(&features, walk, 0) {
        Ok(z_1) => drop(z_1.into_data()),
        Err(error) => failure = Some(error),
    });
    failure.map_or(Ok(seconds), Err)
}

/// Seconds of the fused solver, from z_0 to z_1. The step tables are made once, as in a page that walks many times.
fn fused(
    solver: &FusedSolver,
    model: &NoProp,
    features: &Features,
    seeds: usize,
    walk: &Walk,
) -> Result<f64, Box<dyn Error>> {
    let tables = block_on(StepTables::new(model, walk.sampler, walk.steps))?;
    let rows: Vec<f32> = features.fused.to_data().iter::<f32>().collect();
    let mut failure = None;
    let seconds = median(|| {
        let z_0 = model.initial_latents(walk, 0, features.len() * seeds);
        let z_0: Vec<f32> = z_0.into_data().iter::<f32>().collect();
        let input = SolverInput {
            fused: &rows,
            z_0: &z_0,
            record: false,
        };
        if let Err(error) = block_on(solver.solve(&tables, input)) {
            failure = Some(error);
        }
    });
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(seconds),
    }
}

/// Median seconds of `work`, after one run that compiles and warms up.
fn median(mut work: impl FnMut()) -> f64 {
    work();
    let mut seconds: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[REPEATS / 2]
}
