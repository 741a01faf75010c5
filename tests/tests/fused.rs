//! The fused solver against tensor operations, on the embedded test images.
//!
//! The tests run on a software Vulkan driver, so that they need no GPU.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use noprop_core::backbone::{BackboneConfig, CnnConfig};
use noprop_core::config::{HeadConfig, LabelEncoderConfig};
use noprop_core::embedding::ClassEmbeddingConfig;
use noprop_core::method::Parts;
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_core::sampler::{ANCESTRAL, DDIM, EULER, HEUN};
use noprop_core::{Classifier, Features, Method, ModelConfig, NoProp, Sampler, Walk};
use noprop_gpu::{
    AdapterChoice, FusedSolver, Gpu, GpuError, SolverInput, SolverWeights, StepTables,
};
use noprop_tests::{has_software_vulkan, mnist_subset};
use pollster::block_on;

const MNIST: &[u8] = include_bytes!("../../assets/mnist.safetensors");
const SAMPLERS: [Sampler; 3] = [DDIM, EULER, HEUN];
/// The largest difference that f32 sums in another order may add up to over a walk.
const TOLERANCE: f32 = 1e-4;

/// A device on a software adapter; `None`, with a printed note, if there is none.
fn gpu() -> Option<Gpu> {
    has_software_vulkan("fused solver")
        .then(|| block_on(Gpu::open(AdapterChoice::Software)).unwrap())
}

fn values(tensor: &Tensor<2>) -> Vec<f32> {
    tensor.to_data().iter::<f32>().collect()
}

fn classes(model: &NoProp, features: &Features, z_1: &[f32]) -> Vec<i64> {
    let shape = [features.len(), model.config().latent_dim()];
    let z_1 = TensorData::new(z_1.to_vec(), shape);
    let scores = model.readout(features, Tensor::from_data(z_1, &model.device()));
    scores.argmax(1).into_data().iter::<i64>().collect()
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|x| x.is_finite()));
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Walks from the same z_0 with the fused solver and by tensor operations, and compares z_1. Returns z_1 of the tensor
/// operations.
fn compare(
    solver: &FusedSolver,
    model: &NoProp,
    features: &Features,
    sampler: Sampler,
    steps: usize,
) -> Vec<f32> {
    let walk = Walk::new(sampler, steps).with_seed(7);
    let z_0 = model.initial_latents(&walk, 0, features.len());
    let expected = values(&model.walk(features, &walk, 0).unwrap());
    let tables = block_on(StepTables::new(model, sampler, steps)).unwrap();
    let input = SolverInput {
        fused: &values(&features.fused),
        z_0: &values(&z_0),
        record: false,
    };
    let found = block_on(solver.solve(&tables, input)).unwrap();
    assert_eq!(found.latents, None);
    let difference = worst(&expected, &found.z_1);
    println!("{sampler}, T = {steps}: largest difference of z_1 {difference:e}");
    assert!(
        difference <= TOLERANCE,
        "{sampler}, T = {steps}: {difference}"
    );
    assert_eq!(
        classes(model, features, &expected),
        classes(model, features, &found.z_1),
        "{sampler}, T = {steps}"
    );
    expected
}

#[test]
fn trained_weights_walk_a_thousand_images_to_the_same_place() {
    let Some(gpu) = gpu() else { return };
    let classifier = Classifier::load(MNIST.to_vec(), &Device::flex()).unwrap();
    let model = classifier.model();
    let images = mnist_subset(1000).unwrap().test;
    let features = classifier.features(&images.images).unwrap();
    assert_eq!(features.len(), 1000);
    let solver_weights = block_on(SolverWeights::from_model(model)).unwrap();
    let solver = block_on(FusedSolver::new(&gpu, solver_weights)).unwrap();
    for sampler in SAMPLERS {
        for steps in [1, 10, 40] {
            let z_1 = compare(&solver, model, &features, sampler, steps);
            let correct = classes(model, &features, &z_1)
                .iter()
                .enumerate()
                .filter(|&(i, &class)| class == i64::from(images.labels[i]))
                .count();
            // A sampler that does nothing would agree with another one that does nothing, so the accuracy is checked,
            // too.
            assert!(steps < 10 || correct > 950, "{sampler}: {correct} of 1000");
        }
    }
}

/// Gives a model weights so large that every layer matters, and BatchNorm random statistics.
struct Scramble(NoiseSource);

impl ModuleMapper for Scramble {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            let width = tensor.dims()[0] as f64;
            // Positive values serve as variances too.
            let spread = if D == 1 { 0.3 } else { 2.0 / width.sqrt() };
            let centre = if D == 1 { 0.5 } else { 0.0 };
            let values =
                TensorData::new(self.0.uniform(tensor.shape().num_elements()), tensor.dims());
            Tensor::from_data(values, &tensor.device()) * (2.0 * spread) + (centre - spread)
        })
    }
}

fn noise() -> NoiseSource {
    NoiseSource::new(4, Purpose::Initialising, 0)
}

fn scrambled(label_encoder: LabelEncoderConfig, batch_norm: bool, dim: usize) -> NoProp {
    let config = ModelConfig {
        embed_dim: 18,
        time_dim: 8,
        backbone: BackboneConfig::Cnn(CnnConfig {
            width: 4,
            dropout: 0.0,
        }),
        class_embedding: ClassEmbeddingConfig::Learned {
            dim: Some(dim),
            init: Default::default(),
        },
        label_encoder,
        head: HeadConfig {
            hidden: [21, 13],
            batch_norm,
        },
        ..Default::default()
    };
    let mut model = NoProp::new(&Method::default(), &config, 4, &Device::flex()).unwrap();
    let mut scramble = Scramble(noise());
    if let Parts::Ct(parts) = &mut model.parts {
        parts.network.denoiser = parts.network.denoiser.clone().map(&mut scramble);
    }
    model
}

#[test]
fn every_kind_of_denoiser_is_solved() {
    let Some(gpu) = gpu() else { return };
    for (label_encoder, batch_norm, dim) in [
        (LabelEncoderConfig::Linear, false, 5),
        (LabelEncoderConfig::Linear, true, 30),
        (LabelEncoderConfig::Residual, false, 18),
        (LabelEncoderConfig::Residual, true, 18),
    ] {
        let model = scrambled(label_encoder, batch_norm, dim);
        let features = model.prepare(noise().normal_tensor([37, 18], &model.device()));
        let solver_weights = block_on(SolverWeights::from_model(&model)).unwrap();
        let solver = block_on(FusedSolver::new(&gpu, solver_weights)).unwrap();
        println!("{label_encoder:?}, batch norm {batch_norm}, d = {dim}");
        for sampler in SAMPLERS {
            compare(&solver, &model, &features, sampler, 12);
        }
    }
}

#[test]
fn the_field_is_that_of_the_tensors() {
    let Some(gpu) = gpu() else { return };
    for (label_encoder, dim) in [
        (LabelEncoderConfig::Linear, 5),
        (LabelEncoderConfig::Residual, 18),
    ] {
        let model = scrambled(label_encoder, true, dim);
        let device = model.device();
        // There is one image at 3 · 37 points, whose number is no multiple of four.
        let mut noise = noise();
        let features = model.prepare(noise.normal_tensor([3, 18], &device));
        let z = noise.normal_tensor([3 * 37, dim], &device);
        let solver_weights = block_on(SolverWeights::from_model(&model)).unwrap();
        let solver = block_on(FusedSolver::new(&gpu, solver_weights)).unwrap();
        for t in [0.0, 0.3, 1.0] {
            let (slope, estimate) = model.velocity(&features.repeat(37), z.clone(), t);
            let tables = block_on(StepTables::at(&model, t)).unwrap();
            let input = SolverInput {
                fused: &values(&features.fused),
                z_0: &values(&z),
                record: false,
            };
            let found = block_on(solver.estimate(&tables, input)).unwrap();
            let probabilities = values(&softmax(estimate.logits, 1));
            let differences = [
                worst(&values(&slope), &found.velocity),
                worst(&probabilities, &found.probabilities),
            ];
            println!("{label_encoder:?}, t = {t}: {differences:?}");
            // The tolerance is for one evaluation: f32 sums of some twenty products in another order.
            assert!(differences.iter().all(|&d| d <= 1e-5), "{differences:?}");
        }
    }
}

#[test]
fn a_recorded_walk_has_every_step_of_every_seed() {
    let Some(gpu) = gpu() else { return };
    let (steps, seeds, dim) = (6, 4, 5);
    let model = scrambled(LabelEncoderConfig::Linear, false, dim);
    let features = model.prepare(noise().normal_tensor([3, 18], &model.device()));
    let solver_weights = block_on(SolverWeights::from_model(&model)).unwrap();
    let solver = block_on(FusedSolver::new(&gpu, solver_weights)).unwrap();
    for sampler in SAMPLERS {
        let walk = Walk::new(sampler, steps).with_seed(2);
        let z_0 = model.initial_latents(&walk, 0, 3 * seeds);
        let mut states = vec![values(&z_0)];
        let mut observe = |_, z: &Tensor<2>| states.push(values(z));
        let repeated = features.repeat(seeds);
        model
            .walk_from(&repeated, z_0, &walk, 0, &mut observe)
            .unwrap();
        // The states are turned from [T + 1, samples, d] to [samples, T + 1, d].
        let expected: Vec<f32> = (0..3 * seeds)
            .flat_map(|i| states.iter().flat_map(move |z| &z[i * dim..(i + 1) * dim]))
            .copied()
            .collect();

        let tables = block_on(StepTables::new(&model, sampler, steps)).unwrap();
        let input = SolverInput {
            fused: &values(&features.fused),
            z_0: &states[0],
            record: true,
        };
        let found = block_on(solver.solve(&tables, input)).unwrap();
        let latents = found.latents.unwrap();
        let difference = worst(&expected, &latents);
        assert!(difference <= TOLERANCE, "{sampler}: {difference}");
        assert!(worst(&states[steps], &found.z_1) <= TOLERANCE, "{sampler}");
        assert_eq!(latents[..dim], states[0][..dim]);
    }
}

#[test]
fn what_cannot_be_solved_is_refused() {
    let model = scrambled(LabelEncoderConfig::Linear, false, 5);
    let refused = block_on(StepTables::new(&model, ANCESTRAL, 3)).unwrap_err();
    assert!(refused.to_string().contains("ancestral"), "{refused}");
    let refused = block_on(StepTables::new(&model, DDIM, 0)).unwrap_err();
    assert!(matches!(refused, GpuError::NoSteps));

    let Some(gpu) = gpu() else { return };
    let tables = block_on(StepTables::new(&model, DDIM, 3)).unwrap();
    let solver_weights = block_on(SolverWeights::from_model(&model)).unwrap();
    let solver = block_on(FusedSolver::new(&gpu, solver_weights)).unwrap();
    let solve = |images: usize, samples: usize, extra: usize| {
        let input = SolverInput {
            fused: &vec![0.0; images * 21],
            z_0: &vec![0.0; samples * 5 + extra],
            record: false,
        };
        block_on(solver.solve(&tables, input))
    };
    assert!(solve(0, 0, 0).unwrap().z_1.is_empty());
    for (images, samples, extra) in [(2, 3, 0), (2, 2, 1), (0, 1, 0), (1, 0, 0)] {
        let refused = solve(images, samples, extra).unwrap_err();
        assert!(matches!(refused, GpuError::Shape { .. }), "{refused}");
    }
    // No adapter has that many workgroups in one dimension.
    let refused = solve(1, 3_000_000, 0).unwrap_err();
    assert!(matches!(refused, GpuError::Limit { .. }), "{refused}");

    // Latents of this size do not fit into the memory of any workgroup.
    let large = scrambled(LabelEncoderConfig::Linear, false, 40_000);
    let large = block_on(SolverWeights::from_model(&large)).unwrap();
    let refused = block_on(FusedSolver::new(&gpu, large)).unwrap_err();
    assert!(
        refused.to_string().contains("workgroup memory"),
        "{refused}"
    );
}
