//! Comparison with PyTorch on the files of `benchmarks/peer/make_fixtures.py`: features,
//! estimates, walks of every sampler, and a whole training step; the step also at full ResNet-18
//! size, on files that `cargo xtask bench --parity` makes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case;
mod step;

use burn::tensor::Tensor;
use noprop_core::sampler::{ANCESTRAL, REFERENCE_EULER, REFERENCE_HEUN};
use noprop_core::{Sampler, Walk, predicted_class};
use noprop_pytorch::StateDict;
use noprop_train::TrainConfig;

use case::Case;
use step::{GRADIENT_TOLERANCE, GRADIENT_TOLERANCE_AT_FULL_SIZE, step};

/// f32 sums of some hundred terms of order 1 in another order; measured differences are a tenth.
const TOLERANCE: f32 = 1e-5;
/// A walk repeats the network up to 80 times.
const WALK_TOLERANCE: f32 = 1e-4;

fn estimates(case: &Case) {
    let model = &case.model;
    let features = model.features(case.tensor("images"));
    let (z, t) = (case.tensor("z"), case.tensor::<2>("t"));
    let estimate = model.estimate_at_step(&features, z, 0, t.clone());
    case.compare("features", features.values, TOLERANCE);
    case.compare("logits", estimate.logits, TOLERANCE);
    case.compare("u_hat", estimate.u_hat, TOLERANCE);
    if let Some(point) = model.schedule_at(t) {
        case.compare("alpha_bar", point.alpha_bar, TOLERANCE);
    }
}

fn walks(case: &Case, samplers: impl IntoIterator<Item = Sampler>) {
    let model = &case.model;
    let features = model.features(case.tensor("images"));
    for sampler in samplers {
        let name = format!("trajectory.{sampler}");
        let z_0: Tensor<2> = case.tensor("z");
        let walk = Walk::new(sampler, case.expected[&name].shape[0] - 1);
        let mut latents = vec![z_0.clone()];
        let mut observe = |_: usize, z: &Tensor<2>| latents.push(z.clone());
        let z_1 = if sampler == ANCESTRAL {
            let noise = case.tensor("noise");
            model.walk_with_noise(&features, z_0, &walk, noise, &mut observe)
        } else {
            model.walk_from(&features, z_0, &walk, 0, &mut observe)
        };
        case.compare::<3>(&name, Tensor::stack(latents, 0), WALK_TOLERANCE);

        let scores = model.readout(&features, z_1.unwrap());
        let classes = scores.dims()[1];
        let scores: Vec<f32> = scores.into_data().try_to_vec().unwrap();
        let predictions = scores.chunks(classes).map(predicted_class);
        let theirs = &case.expected[&format!("prediction.{sampler}")].values;
        assert_eq!(
            predictions.map(|class| class as f32).collect::<Vec<_>>(),
            *theirs
        );
    }
}

const OURS: [&str; 4] = ["ours", "ours-cnn", "ours-bottleneck", "ours-classifier"];

#[test]
fn our_networks_say_what_pytorchs_say() {
    for name in OURS {
        let expected = format!("{name}.expected.safetensors");
        let case = Case::new(&format!("{name}.safetensors"), &expected);
        println!("{name}");
        estimates(&case);
        walks(&case, Sampler::serving(case.model.method().process()));
    }
}

#[test]
fn the_references_networks_say_what_pytorchs_say() {
    for (name, ending) in [
        ("reference-mnist", "pt"),
        ("reference-simple", "safetensors"),
    ] {
        let expected = format!("{name}.expected.safetensors");
        let case = Case::new(&format!("{name}.{ending}"), &expected);
        println!("{name}");
        estimates(&case);
        walks(&case, [REFERENCE_EULER, REFERENCE_HEUN]);
    }
}

/// The optimiser of `step_of_ours`. The method is in the card.
fn ours() -> TrainConfig {
    TrainConfig {
        lr: 1e-3,
        weight_decay: 1e-2,
        ..Default::default()
    }
}

/// The optimiser of `step_of_reference`.
fn references() -> TrainConfig {
    TrainConfig {
        lr: 1e-3,
        weight_decay: 1e-3,
        decay_all: true,
        ..Default::default()
    }
}

#[test]
fn a_training_step_is_pytorchs() {
    // The paper's loss; the loss of the recipes; a plain classifier.
    for name in ["ours", "ours-cnn", "ours-classifier"] {
        let expected = format!("{name}.expected.safetensors");
        let case = Case::new(&format!("{name}.safetensors"), &expected);
        println!("{name}");
        step(&case, &ours(), GRADIENT_TOLERANCE);
    }
}

#[test]
fn a_training_step_of_the_reference_is_pytorchs() {
    for (name, ending) in [
        ("reference-mnist", "pt"),
        ("reference-simple", "safetensors"),
    ] {
        let expected = format!("{name}.expected.safetensors");
        let case = Case::new(&format!("{name}.{ending}"), &expected);
        println!("{name}");
        step(&case, &references(), GRADIENT_TOLERANCE);
    }
}

/// Prints what it finds as JSON, a line a row of the table.
#[test]
#[ignore = "`cargo xtask bench --parity` makes its files and runs it"]
fn a_training_step_at_full_size() {
    let folder = std::env::var("NOPROP_PARITY_DIR").expect("the folder of the files");
    let read = |name: &str| {
        let bytes = std::fs::read(std::path::Path::new(&folder).join(name)).unwrap();
        StateDict::read(&bytes).unwrap()
    };
    for (name, ending, config) in [
        ("ours", "safetensors", ours()),
        ("reference", "pt", references()),
    ] {
        let state = read(&format!("{name}.{ending}"));
        let case = Case::of(state, read(&format!("{name}.step.safetensors")));
        let found = step(&case, &config, GRADIENT_TOLERANCE_AT_FULL_SIZE);
        for (what, largest, difference, tolerance) in [
            (
                "a training step: loss terms, relative",
                1.0,
                found.loss,
                1e-4,
            ),
            (
                "a training step: gradients of the network, relative",
                1.0,
                found.gradients,
                GRADIENT_TOLERANCE_AT_FULL_SIZE,
            ),
            (
                "a training step: updated weights",
                found.largest_weight,
                found.weights,
                1e-4,
            ),
        ] {
            println!(
                "{}",
                serde_json::json!({
                    "model": name,
                    "what": what,
                    "largest": largest,
                    "difference": difference,
                    "tolerance": tolerance,
                })
            );
        }
    }
}
