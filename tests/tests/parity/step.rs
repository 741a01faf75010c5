//! A training step: its loss, its gradients, and the weights after it.
//!
//! AdamW's first step is lr·g/(|g| + ε): it goes by the sign of the gradient g, and hardly by its size. So where g is
//! next to zero, the rounding of the sums behind it, which depends on the processor, decides which way a weight
//! goes. Therefore all entries of the gradients are compared, and the weights only where the tolerance of the
//! gradients, δ, leaves no doubt about the sign: |g| ≥ 2δ. The other weights may go either way, but no further than one
//! step. Gradients themselves jump where the input of a ReLU is zero; `benchmarks/peer/steadiness.py` chooses batches
//! that are far from that.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use noprop_core::weights::{self, HostTensor, Tensors};
use noprop_core::{Method, NoProp};
use noprop_tests::mnist_subset;
use noprop_train::{DataConfig, LossValues, Recipe, Start, TrainConfig, Trainer, TrainerOptions};

use crate::TOLERANCE;
use crate::case::{Case, difference, largest};

/// The tolerance δ of a gradient of a small network, as a share of the largest entry of its tensor. PyTorch's own
/// gradients in f32 differ from those in f64 by up to 1e-5 of it, with SSE, AVX2 and AVX-512.
pub const GRADIENT_TOLERANCE: f32 = 1e-4;
/// The tolerance of a gradient of ResNet-18. PyTorch's own gradients in f32 and f64 differ by up to 2.3e-4 there, since
/// the last BatchNorm sees one value of each image.
pub const GRADIENT_TOLERANCE_AT_FULL_SIZE: f32 = 1e-3;
/// The tolerance of a gradient of the reference's noise schedule, whose formulas cancel: γ̃(t) − γ̃(0) and 1 − ᾱ.
/// PyTorch's own gradients differ by up to 1.3e-3 between processors, and ours by 4e-3 from PyTorch's.
const REFERENCE_SCHEDULE_TOLERANCE: f32 = 5e-2;
/// The tolerance of the loss terms of the reference, for the same reason; measured are 6e-6.
const REFERENCE_LOSS_TOLERANCE: f32 = 1e-4;
/// To the largest entry of a tensor counts this share of the largest entry of all gradients. A bias before BatchNorm
/// has no gradient but what rounding leaves, 4e-8 of the largest of all.
const SHARE_OF_ALL: f32 = 1e-2;
/// AdamW's ε.
const EPSILON: f32 = 1e-8;
/// The rounding of an update: a thousandth of one, and some bits of the weight.
const UPDATE_TOLERANCE: f32 = 1e-6;

/// The largest differences of a step.
#[derive(Default)]
pub struct Differences {
    /// The largest difference of a loss term, as a share of it.
    pub loss: f32,
    /// The largest difference of a gradient, as a share of the largest entry of its tensor, without the reference's
    /// noise schedule.
    pub gradients: f32,
    /// The largest difference of a weight after the step.
    pub weights: f32,
    /// The largest weight.
    pub largest_weight: f32,
}

/// One step of the trainer on the batch of `case`: its loss, and the weights after it.
fn trained(case: &Case, config: &TrainConfig) -> (LossValues, Tensors) {
    let images = case.expected["step.labels"].values.len();
    let recipe = Recipe {
        method: case.model.method().clone(),
        model: case.model.config().clone(),
        // The step is not on these images; they only have the right size.
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
    let report = trainer.step_on(case.batch(trainer.device())).unwrap();
    // The loss of the first step is always read.
    (
        report.loss.unwrap(),
        weights::parameters(&trainer.trained()).unwrap(),
    )
}

/// Our gradients, under the names of the weights; they are NaN where there is none.
fn gradients(case: &Case) -> Tensors {
    struct Replace(GradientsParams);
    impl ModuleMapper for Replace {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let gradient = self.0.remove::<D>(param.id);
            param.map(|weight| match gradient {
                Some(gradient) => gradient,
                None => weight.full_like(f32::NAN),
            })
        }
    }
    let (frozen, device) = (&case.model, Device::flex().autodiff());
    // Read from a file, a network is frozen; a new one is not.
    let model = NoProp::new(frozen.method(), frozen.config(), 0, &device).unwrap();
    let model = model.load_record(frozen.clone().into_record());
    let (gradients, _) = model.gradients(case.batch(&device));
    let replaced: NoProp = model.valid().map(&mut Replace(gradients));
    weights::parameters(&replaced).unwrap()
}

/// Whether the tensor of a gradient says that there is none.
fn is_absent(gradient: &HostTensor) -> bool {
    gradient.values.iter().all(|value| value.is_nan())
}

/// Compares loss, gradients and weights of one step.
pub fn step(case: &Case, config: &TrainConfig, gradient_tolerance: f32) -> Differences {
    let mut found = Differences::default();
    let (loss, after) = trained(case, config);
    compare_loss(case, &loss, &mut found);
    let tolerances = compare_gradients(case, gradient_tolerance, &mut found);
    compare_weights(case, config, &after, &tolerances, &mut found);
    found
}

fn is_reference(case: &Case) -> bool {
    matches!(
        case.model.method(),
        Method::ReferenceMnist(_) | Method::ReferenceSimple(_)
    )
}

fn compare_loss(case: &Case, loss: &LossValues, found: &mut Differences) {
    let tolerance = match is_reference(case) {
        true => REFERENCE_LOSS_TOLERANCE,
        false => TOLERANCE,
    };
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
            (ours - theirs).abs() <= tolerance * theirs.abs().max(1e-3),
            "{name}: {ours}, not {theirs}"
        );
    }
}

/// Compares all gradients. The tolerances δ by the names of the weights that have a gradient.
fn compare_gradients(
    case: &Case,
    of_network: f32,
    found: &mut Differences,
) -> HashMap<String, f32> {
    let (ours, theirs) = (gradients(case), case.gradients());
    // Fixed class embeddings have no gradient; the reference's are not in its files at all.
    let is_trained = |name: &String| !is_absent(&ours[name]);
    let largest_of = |name: &String| largest(&theirs[name].values);
    let all = theirs.keys().filter(|name| is_trained(name));
    let largest_of_all = all.map(largest_of).fold(0.0, f32::max);
    let is_reference = is_reference(case);
    let mut tolerances = HashMap::new();
    for (name, ours) in &ours {
        let theirs = &theirs[name];
        assert_eq!(ours.shape, theirs.shape, "{name}");
        if is_absent(ours) {
            let is_fixed = name.starts_with("class_embedding.");
            assert!(is_absent(theirs) || is_fixed, "{name} has no gradient");
            continue;
        }
        let scale = largest(&theirs.values) + SHARE_OF_ALL * largest_of_all;
        let worst = difference(&ours.values, &theirs.values) / scale;
        let tolerance = match is_reference && name.starts_with("schedule.") {
            true => REFERENCE_SCHEDULE_TOLERANCE,
            false => of_network,
        };
        println!("gradient of {name}: {worst:.1e} of {scale:.1e}");
        assert!(
            worst <= tolerance,
            "the gradient of {name} differs by {worst}"
        );
        if tolerance == of_network {
            found.gradients = found.gradients.max(worst);
        }
        tolerances.insert(name.clone(), tolerance * scale);
    }
    tolerances
}

/// Compares the weights after the step where they can be compared.
fn compare_weights(
    case: &Case,
    config: &TrainConfig,
    after: &Tensors,
    tolerances: &HashMap<String, f32>,
    found: &mut Differences,
) {
    let lr = config.lr as f32;
    let before = weights::parameters(&case.model).unwrap();
    let gradients = case.gradients();
    let mut theirs = case.after();
    as_burn_counts(&mut theirs, &before, case);
    let (mut compared_of_all, mut count) = (0, 0);
    for (name, ours) in after {
        let (theirs, old) = (&theirs[name].values, &before[name].values);
        found.largest_weight = found.largest_weight.max(largest(theirs));
        let Some(&delta) = tolerances.get(name) else {
            let worst = difference(&ours.values, theirs);
            found.weights = found.weights.max(worst);
            assert!(worst <= TOLERANCE, "{name} differs by {worst}");
            continue;
        };
        let (mut worst, mut compared) = (0.0_f32, 0);
        for (i, (&new, &old)) in ours.values.iter().zip(old).enumerate() {
            let rounding = UPDATE_TOLERANCE + 4.0 * f32::EPSILON * old.abs();
            let g = gradients[name].values[i].abs();
            if g >= 2.0 * delta {
                // Two gradients that differ by δ have updates that differ by lr·ε·δ/(g(g − δ)).
                let allowed = rounding + lr * EPSILON * delta / (g * (g - delta));
                let d = (new - theirs[i]).abs();
                assert!(d <= allowed, "{name}: {new}, not {}, from {old}", theirs[i]);
                worst = worst.max(d);
                compared += 1;
            }
            let bound = lr * (1.0 + old.abs() * config.weight_decay as f32) + rounding;
            assert!((new - old).abs() <= bound, "{name}: {old} became {new}");
        }
        println!("{name}: {compared} of {}: {worst:.1e}", theirs.len());
        compared_of_all += compared;
        count += gradients[name].values.iter().filter(|g| **g != 0.0).count();
        found.weights = found.weights.max(worst);
    }
    println!("{compared_of_all} of {count} compared");
    assert!(
        compared_of_all * 4 > count * 3,
        "most entries say something"
    );
}

/// BatchNorm's running variance as Burn keeps it. PyTorch divides a batch's sum of squares by n − 1
/// before it goes into the average, Burn by n; the file holds (n − 1)/n of each layer, and the share of the
/// old value that is kept in the new one.
fn as_burn_counts(theirs: &mut Tensors, before: &Tensors, case: &Case) {
    let as_it_is = |tensor: &HostTensor| tensor.clone();
    let kept = case.under("step.kept.", &as_it_is);
    let shares = case.under("step.share.", &as_it_is);
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
