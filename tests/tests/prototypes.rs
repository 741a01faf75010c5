//! Class embeddings of image size: images of the training set at first, and z goes through a convolutional
//! module of its own, in all three variants of NoProp.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use burn::tensor::Device;
use noprop_core::backbone::{BackboneConfig, CnnConfig};
use noprop_core::config::{HeadConfig, LabelEncoderConfig};
use noprop_core::embedding::{ClassEmbeddingConfig, PrototypeSource};
use noprop_core::sampler::Sampling;
use noprop_core::schedule::{CosineForm, ScheduleConfig};
use noprop_core::weights::{self, ModelCard, Precision, Tensors};
use noprop_core::{ModelConfig, ObjectiveConfig, Readout, SamplerKind};
use noprop_data::{Dataset, DeviceSplit};
use noprop_tests::mnist_subset;
use noprop_train::{
    DataConfig, EvalConfig, Evaluator, Flow, Recipe, TrainConfig, Trainer, Workers,
};

const STEPS: usize = 3;

/// The model and objective of a variant, and a sampler that walks it.
fn variant(name: &str) -> (ModelConfig, ObjectiveConfig, SamplerKind) {
    let model = ModelConfig {
        embed_dim: 32,
        time_dim: 8,
        backbone: BackboneConfig::Cnn(CnnConfig {
            width: 4,
            dropout: 0.1,
        }),
        head: HeadConfig {
            hidden: [32, 16],
            ..Default::default()
        },
        class_embedding: ClassEmbeddingConfig::Prototype {
            source: PrototypeSource::Image,
        },
        label_encoder: LabelEncoderConfig::Image,
        ..Default::default()
    };
    // Without a bound a few times near t = 1 are all of the loss, and two epochs say nothing.
    let bounded = ObjectiveConfig::Ct {
        eta: 1.0,
        max_weight: Some(1.0),
        time_sampling: Default::default(),
    };
    match name {
        "ct" => (model, bounded, SamplerKind::Ddim),
        "dt" => (
            ModelConfig {
                schedule: ScheduleConfig::Cosine {
                    steps: STEPS,
                    form: CosineForm::Shifted,
                },
                head: HeadConfig {
                    batch_norm: true,
                    ..model.head
                },
                ..model
            },
            ObjectiveConfig::Dt { eta: 0.1 },
            SamplerKind::Ancestral,
        ),
        _ => (
            ModelConfig {
                schedule: ScheduleConfig::Flow { sigma: 0.0 },
                readout: Readout::Nearest,
                head: HeadConfig {
                    full_rank: true,
                    ..model.head
                },
                ..model
            },
            ObjectiveConfig::Fm { anchor: 1.0 },
            SamplerKind::Euler,
        ),
    }
}

fn recipe(name: &str) -> Recipe {
    let (model, objective, sampler) = variant(name);
    Recipe {
        model,
        objective,
        data: DataConfig {
            limit: Some(640),
            validation: 0,
            ..Default::default()
        },
        train: TrainConfig {
            epochs: 2,
            batch_size: 32,
            ..Default::default()
        },
        eval: EvalConfig {
            sampler,
            steps: STEPS,
            ..Default::default()
        },
    }
}

fn file(trainer: &Trainer, recipe: &Recipe, dataset: &Dataset) -> Vec<u8> {
    let card = ModelCard {
        model: recipe.model.clone(),
        mean: dataset.normalization.mean.clone(),
        std: dataset.normalization.std.clone(),
        classes: dataset.classes.clone(),
        dataset: "mnist".into(),
        blocks: None,
    };
    weights::to_bytes(&trainer.trained(), &card, Precision::Full).unwrap()
}

#[test]
fn every_variant_trains_and_survives_its_file() {
    let device = Device::flex();
    let dataset = mnist_subset(40).unwrap();
    for name in ["ct", "dt", "fm"] {
        let recipe = recipe(name);
        let mut trainer = Trainer::new(recipe.clone(), &dataset, &device, 2, None).unwrap();
        let before: Tensors = weights::parameters(&trainer.trained()).unwrap();
        let prototypes = before["class_embedding.weight"].values.clone();
        // Normalised pixels of an image: a dark background, and some light.
        let dark = prototypes.iter().copied().fold(f32::MAX, f32::min);
        assert!((dark + 0.1307 / 0.3081).abs() < 1e-3, "{name}: {dark}");
        let losses = losses(&mut trainer);
        assert!(
            losses.last() < losses.first(),
            "{name}: the loss does not fall: {losses:?}"
        );

        let after = weights::parameters(&trainer.trained()).unwrap();
        for (parameter, tensor) in &after {
            let of_latents =
                parameter.contains("label_encoder.cnn") || parameter.contains("label_branch.0.cnn");
            if of_latents && parameter.ends_with("conv1.weight") {
                assert!(
                    tensor.values != before[parameter].values,
                    "{name}: {parameter}"
                );
            }
        }
        assert!(after.keys().any(|key| key.contains("cnn.conv1")), "{name}");

        let bytes = file(&trainer, &recipe, &dataset);
        let (model, _) = weights::from_bytes(bytes, &device).unwrap();
        let split = DeviceSplit::new(&dataset.test.take(20), &dataset.normalization, 1, &device);
        let workers = Workers::new(1).unwrap();
        let sampling = Sampling {
            kind: recipe.eval.sampler,
            steps: STEPS,
            seed: 0,
        };
        let walked = |model| Evaluator::new(model, &split, &workers).outcomes(sampling);
        assert_eq!(walked(&model), walked(&trainer.trained()), "{name}");
    }
}

/// The loss of each epoch.
fn losses(trainer: &mut Trainer) -> Vec<f32> {
    let mut losses = Vec::new();
    let mut listen = |event| {
        if let noprop_train::TrainEvent::Epoch { loss, .. } = event {
            losses.push(loss.total);
        }
        Flow::Continue
    };
    trainer.run(&mut listen).unwrap();
    losses
}

#[test]
fn latents_that_are_no_images_are_refused() {
    let model = ModelConfig {
        class_embedding: ClassEmbeddingConfig::OneHot,
        ..variant("ct").0
    };
    let message = model.validate().unwrap_err().to_string();
    assert!(message.contains("prototype"), "{message}");
    let model = ModelConfig {
        head: HeadConfig {
            full_rank: true,
            ..Default::default()
        },
        ..Default::default()
    };
    let message = model.validate().unwrap_err().to_string();
    assert!(message.contains("flow"), "{message}");
}
