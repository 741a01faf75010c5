//! Class embeddings of image size, in all three variants of NoProp: they start as training images, and z has a
//! convolutional encoder of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use burn::tensor::Device;
use noprop_core::backbone::{BackboneConfig, CnnConfig};
use noprop_core::config::{HeadConfig, LabelEncoderConfig};
use noprop_core::embedding::{ClassEmbeddingConfig, PrototypeSource};
use noprop_core::method::{Ct, Dt, Fm};
use noprop_core::sampler::{ANCESTRAL, DDIM, EULER};
use noprop_core::weights::{self, Precision, Tensors};
use noprop_core::{Classifier, Method, ModelConfig, Sampler};
use noprop_tests::mnist_subset;
use noprop_train::{
    DataConfig, EvalConfig, Evaluator, Flow, Recipe, TrainConfig, TrainEvent, Trainer,
    TrainerOptions, Workers,
};

const STEPS: usize = 3;

/// The three variants of NoProp, each with a sampler that walks it.
fn variants() -> [(Method, Sampler); 3] {
    [
        // Without a bound, a few times near t = 1 dominate the loss, and two epochs prove nothing.
        (
            Method::Ct(Ct {
                max_snr: Some(1.0),
                ..Default::default()
            }),
            DDIM,
        ),
        (
            Method::Dt(Dt {
                steps: STEPS,
                ..Default::default()
            }),
            ANCESTRAL,
        ),
        (
            Method::Fm(Fm {
                full_rank: true,
                ..Default::default()
            }),
            EULER,
        ),
    ]
}

fn model(method: &Method) -> ModelConfig {
    ModelConfig {
        embed_dim: 32,
        time_dim: 8,
        backbone: BackboneConfig::Cnn(CnnConfig {
            width: 4,
            dropout: 0.1,
        }),
        head: HeadConfig {
            hidden: [32, 16],
            batch_norm: method.blocks().is_some(),
        },
        class_embedding: ClassEmbeddingConfig::Prototype {
            source: PrototypeSource::Image,
        },
        label_encoder: LabelEncoderConfig::Image,
        ..Default::default()
    }
}

fn recipe(method: Method, sampler: Sampler) -> Recipe {
    Recipe {
        model: model(&method),
        method,
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
            sampler: Some(sampler),
            steps: Some(STEPS),
            ..Default::default()
        },
    }
}

#[test]
fn every_variant_trains_and_survives_its_file() {
    let device = Device::flex();
    let dataset = mnist_subset(40).unwrap();
    for (method, sampler) in variants() {
        let name = method.name();
        let options = TrainerOptions {
            threads: 2,
            ..TrainerOptions::on(device.clone())
        };
        let recipe = recipe(method, sampler);
        let mut trainer = Trainer::new(recipe, &dataset, options).unwrap();
        let before: Tensors = weights::parameters(&trainer.trained()).unwrap();
        let prototypes = before["class_embedding.weight"].values.clone();
        // The prototypes are normalised pixels of an image, with a dark background and some light.
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

        let classifier = trainer.classifier().unwrap();
        let (model, card) = (classifier.model(), classifier.card());
        let bytes = weights::to_bytes(model, card, Precision::Full).unwrap();
        let read = Classifier::load(bytes, &device).unwrap();
        let few = dataset.test.take(20);
        let workers = Workers::new(1).unwrap();
        let outcomes = |of: &Classifier| {
            let evaluator = Evaluator::new(of, &few, &workers).unwrap();
            evaluator.outcomes(&classifier.walk()).unwrap()
        };
        assert_eq!(outcomes(&read), outcomes(&classifier), "{name}");
    }
}

/// The loss of each epoch.
fn losses(trainer: &mut Trainer) -> Vec<f32> {
    let mut losses = Vec::new();
    let mut listen = |event| {
        if let TrainEvent::Epoch(report) = event {
            losses.push(report.loss.total);
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
        ..model(&Method::default())
    };
    let message = model.validate().unwrap_err().to_string();
    assert!(message.contains("prototype"), "{message}");
}

#[test]
fn a_velocity_of_full_rank_is_of_flows_alone() {
    let text = r#"{"kind": "ct", "full_rank": true}"#;
    let error = serde_json::from_str::<Method>(text).unwrap_err();
    assert!(error.to_string().contains("full_rank"), "{error}");
}
