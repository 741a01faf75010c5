//! The numbers of PyTorch in the files of `benchmarks/peer/make_fixtures.py`: features, estimates, walks of every
//! sampler, and a whole training step. The step is also compared at full ResNet-18 size, with files that
//! `cargo xtask bench --parity` makes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use burn::tensor::{Device, Int, Tensor, TensorData};
use noprop_core::dropout::Dropout;
use noprop_core::method::{Batch, Draws};
use noprop_core::sampler::{ANCESTRAL, REFERENCE_EULER, REFERENCE_HEUN};
use noprop_core::weights::{self, Tensors};
use noprop_core::{NoProp, Sampler, Walk, predicted_class};
use noprop_pytorch::{StateDict, import};
use noprop_tests::fixtures::state_dict;
use noprop_tests::mnist_subset;
use noprop_train::{DataConfig, LossValues, Recipe, Start, TrainConfig, Trainer, TrainerOptions};

/// The largest difference of a number that passes. f32 sums of some hundred terms of order 1 have another order;
/// measured differences are a tenth of this.
const TOLERANCE: f32 = 1e-5;
/// The largest difference of a walk, which repeats the network up to 80 times.
const WALK_TOLERANCE: f32 = 1e-4;
/// AdamW's first step goes by the sign of the gradient, and an entry of a gradient that is only rounding has no sign
/// that two programs agree on. So an entry is not compared if it is below this share of the largest entry of the
/// gradient of its parameter.
const NOISE: f32 = 1e-4;
/// An entry is not compared either if it is below this share of the largest entry of all gradients: a bias before
/// BatchNorm has no gradient but rounding.
const NOISE_OF_ALL: f32 = 1e-6;

const LR: f64 = 1e-3;

/// A model, its inputs, and the values that PyTorch computed.
struct Case {
    /// The weights as PyTorch named them.
    state: StateDict,
    model: NoProp,
    expected: Tensors,
}

impl Case {
    fn new(weights: &str, expected: &str) -> Self {
        Self::of(state_dict(weights), state_dict(expected))
    }

    fn of(state: StateDict, expected: StateDict) -> Self {
        Self {
            model: model(&state),
            state,
            expected: expected.tensors,
        }
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let tensor = &self.expected[name];
        let data = TensorData::new(tensor.values.clone(), tensor.shape.clone());
        Tensor::from_data(data, &Device::flex())
    }

    /// Compares with a tolerance of `tolerance` times the largest entry, or times 1 if that is larger.
    fn compare<const D: usize>(&self, name: &str, ours: Tensor<D>, tolerance: f32) {
        let theirs = &self.expected[name];
        assert_eq!(ours.dims().to_vec(), theirs.shape, "{name}");
        let ours: Vec<f32> = ours.into_data().try_to_vec().unwrap();
        let scale = largest(&theirs.values).max(1.0);
        let worst = difference(&ours, &theirs.values) / scale;
        println!("{name}: {worst:.1e} of {scale:.1}");
        assert!(worst <= tolerance, "{name} differs by {worst}");
    }
}

/// The model in a state dict, by its card if it has one, else by its shapes.
fn model(state: &StateDict) -> NoProp {
    let card = state.card.as_ref();
    let config = card.map(|card| (card.method.clone(), card.model.clone()));
    import(state.clone(), None, config, [28, 28]).unwrap().model
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, v| v.abs().max(most))
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    let pairs = a.iter().zip(b);
    // A NaN stays, and then no tolerance is met.
    let worse = |most: f32, d: f32| if most.is_nan() || d <= most { most } else { d };
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, worse)
}

fn estimates(case: &Case) {
    let model = &case.model;
    let features = model.features(case.tensor("images"));
    let (z, t) = (case.tensor("z"), case.tensor::<2>("t"));
    let estimate = model.estimate_at_step(&features, z, 0, t.clone());
    case.compare("features", features.values, TOLERANCE);
    case.compare("logits", estimate.logits, TOLERANCE);
    case.compare("u_hat", estimate.u_hat, TOLERANCE);
    let alpha_bar = model.schedule_at(t).unwrap().alpha_bar;
    case.compare("alpha_bar", alpha_bar, TOLERANCE);
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

/// The largest differences of a step: of a loss term, as a share of the term, and of an updated weight.
struct Differences {
    loss: f32,
    weights: f32,
    largest_weight: f32,
}

/// Takes one step of the trainer on the batch of `case`. Returns its loss and the weights after it.
fn trained(case: &Case, config: &TrainConfig) -> (LossValues, Tensors) {
    let images = case.expected["step.labels"].values.len();
    let recipe = Recipe {
        method: case.model.method().clone(),
        model: case.model.config().clone(),
        // The step does not use these images; they only have the right size.
        data: DataConfig {
            limit: Some(images),
            validation: 0,
            ..Default::default()
        },
        train: TrainConfig {
            batch_size: images,
            ..config.clone()
        },
        ..Default::default()
    };
    let options = TrainerOptions {
        start: Start::Weights(weights::parameters(&case.model).unwrap()),
        ..TrainerOptions::on(Device::flex())
    };
    let mut trainer = Trainer::new(recipe, &mnist_subset(1).unwrap(), options).unwrap();
    trainer.step_on(case.batch(trainer.device())).unwrap();
    let loss = trainer.read_loss().unwrap().unwrap();
    (loss, weights::parameters(&trainer.trained()).unwrap())
}

/// Compares the loss and the weights of one step.
fn step(case: &Case, config: &TrainConfig) -> Differences {
    let mut found = Differences {
        loss: 0.0,
        weights: 0.0,
        largest_weight: 0.0,
    };
    let (loss, after) = trained(case, config);
    for (name, ours) in [
        ("total", loss.total),
        ("ce", loss.ce),
        ("kl", loss.kl),
        ("denoise", loss.denoise),
    ] {
        let theirs = case.expected[&format!("step.{name}")].values[0];
        println!("{name}: {ours} {theirs}");
        if theirs != 0.0 {
            found.loss = found.loss.max((ours / theirs - 1.0).abs());
        }
        assert!(
            (ours - theirs).abs() <= TOLERANCE * theirs.abs(),
            "{name}: {ours}, not {theirs}"
        );
    }

    let before = weights::parameters(&case.model).unwrap();
    let mut theirs = case.under("step.after.");
    as_burn_counts(
        &mut theirs,
        &before,
        &case.under("step.kept."),
        &case.under("step.share."),
    );
    let gradients = case.under("step.gradient.");
    let all = case
        .expected
        .iter()
        .filter(|(name, _)| name.starts_with("step.gradient."));
    let largest_of_all = all.map(|(_, g)| largest(&g.values)).fold(0.0, f32::max);
    let mut compared_of_all = 0;
    for (name, ours) in &after {
        let (theirs, gradient) = (&theirs[name].values, &gradients[name].values);
        let (top, floor) = (largest(gradient), NOISE_OF_ALL * largest_of_all);
        let is_statistic = name.contains("running_");
        // A kernel tap that only meets padding has a gradient of exactly zero, and only decays.
        let is_kernel = ours.shape.len() == 4;
        let says_something = |&i: &usize| {
            let g = gradient[i].abs();
            is_statistic || g >= floor.max(NOISE * top) || (g == 0.0 && is_kernel)
        };
        let (mut worst, mut compared) = (0.0_f32, 0);
        for i in (0..theirs.len()).filter(says_something) {
            worst = worst.max((ours.values[i] - theirs[i]).abs());
            compared += 1;
        }
        println!("{name}: {compared} of {}: {worst:.1e}", theirs.len());
        compared_of_all += compared;
        found.weights = found.weights.max(worst);
        found.largest_weight = found.largest_weight.max(largest(theirs));
        assert!(worst <= TOLERANCE, "{name} differs by {worst}");
        // No entry moves further than AdamW's first step, whatever its sign.
        let decayed = |w: f32| w.abs() * (LR * config.weight_decay) as f32;
        for (new, old) in ours.values.iter().zip(&before[name].values) {
            let bound = LR as f32 + decayed(*old) + 1e-6;
            assert!(
                is_statistic || (new - old).abs() <= bound,
                "{name}: {old} became {new}"
            );
        }
    }
    let count: usize = after.values().map(|tensor| tensor.values.len()).sum();
    println!("{compared_of_all} of {count} compared");
    assert!(
        compared_of_all * 4 > count * 3,
        "most entries say something"
    );
    found
}

/// Turns BatchNorm's running variance into the one that burn keeps. PyTorch divides a batch's sum of squares by n − 1
/// before it enters the average, burn by n. `shares` holds (n − 1)/n of each layer, and `kept` the share of the old
/// value in the new one.
fn as_burn_counts(theirs: &mut Tensors, before: &Tensors, kept: &Tensors, shares: &Tensors) {
    let variances = theirs
        .iter_mut()
        .filter(|(name, _)| name.ends_with("running_var"));
    for (name, after) in variances {
        for (i, value) in after.values.iter_mut().enumerate() {
            let kept = kept[name].values[i] * before[name].values[i];
            *value = kept + (*value - kept) * shares[name].values[i];
        }
    }
}

impl Case {
    /// The batch of the step, on the autodiff device.
    fn batch(&self, device: &Device) -> Batch {
        let tracked = |name: &str| Tensor::from_inner(self.tensor::<2>(name));
        let labels = self.expected["step.labels"].values.iter();
        let labels: Vec<i64> = labels.map(|&label| label as i64).collect();
        Batch {
            images: Tensor::from_inner(self.tensor::<4>("step.images")),
            labels: Tensor::<1, Int>::from_data(labels.as_slice(), device),
            draws: Draws {
                t: tracked("step.t"),
                noise: tracked("step.noise"),
                noise_1: tracked("step.noise_1"),
            },
            dropout: Dropout::Off,
            block: None,
        }
    }

    /// The tensors below `prefix`, under our names; a tensor that is not there is taken from the model before the step.
    fn under(&self, prefix: &str) -> Tensors {
        let mut state = self.state.clone();
        for (name, tensor) in &self.expected {
            if let Some(name) = name.strip_prefix(prefix) {
                state.tensors.insert(name.to_owned(), tensor.clone());
            }
        }
        weights::parameters(&model(&state)).unwrap()
    }
}

#[test]
fn our_networks_say_what_pytorchs_say() {
    for name in ["ours", "ours-cnn", "ours-bottleneck"] {
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

/// The optimiser of `step_of_ours`. The method, with a bound of 1 on SNR′(t), is in the card.
fn ours() -> TrainConfig {
    TrainConfig {
        lr: LR,
        weight_decay: 1e-2,
        ..Default::default()
    }
}

/// The optimiser of `step_of_reference`.
fn references() -> TrainConfig {
    TrainConfig {
        lr: LR,
        weight_decay: 1e-3,
        decay_all: true,
        ..Default::default()
    }
}

#[test]
fn a_training_step_is_pytorchs() {
    let case = Case::new("ours.safetensors", "ours.expected.safetensors");
    step(&case, &ours());
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
        step(&case, &references());
    }
}

/// Prints the comparison as JSON, one line for each row of the table.
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
        let found = step(&case, &config);
        for (what, largest, difference) in [
            ("a training step: loss terms, relative", 1.0, found.loss),
            (
                "a training step: updated weights",
                found.largest_weight,
                found.weights,
            ),
        ] {
            println!(
                "{}",
                serde_json::json!({
                    "model": name,
                    "what": what,
                    "largest": largest,
                    "difference": difference,
                })
            );
        }
    }
}
