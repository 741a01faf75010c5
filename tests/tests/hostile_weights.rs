//! Weights files that anybody may have written: whatever their bytes and their metadata say, they are refused with a
//! message, without a panic, and without taking the memory that they ask for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::OnceLock;

use burn::tensor::Device;
use noprop_core::backbone::{BackboneConfig, CnnConfig, Depth, ResNetConfig, Stem};
use noprop_core::config::HeadConfig;
use noprop_core::weights::{self, ModelCard, Precision};
use noprop_core::{Method, ModelConfig, NoProp, Normalization};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The bytes of a small, valid file.
fn good() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let model = ModelConfig {
            embed_dim: 4,
            time_dim: 4,
            classes: 3,
            head: HeadConfig {
                hidden: [4, 4],
                ..Default::default()
            },
            backbone: BackboneConfig::Cnn(CnnConfig {
                width: 1,
                dropout: 0.0,
            }),
            ..Default::default()
        };
        let card = ModelCard {
            method: Method::default(),
            model: model.clone(),
            normalization: Normalization {
                mean: vec![0.1],
                std: vec![0.3],
            },
            classes: ["a", "b", "c"].map(str::to_owned).into(),
            dataset: "folder".into(),
            blocks: None,
            inference: None,
        };
        let model = NoProp::new(&card.method, &model, 0, &Device::flex()).unwrap();
        weights::to_bytes(&model, &card, Precision::Full).unwrap()
    })
}

/// The header of a safetensors file as JSON, and the bytes of the tensors behind it.
fn split(file: &[u8]) -> (Value, &[u8]) {
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let header = serde_json::from_slice(&file[8..8 + length]).unwrap();
    (header, &file[8 + length..])
}

/// The valid file with its card changed by `change`.
fn with_card(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (mut header, tensors) = split(good());
    let entry = &mut header["__metadata__"]["noprop.card"];
    let mut card: Value = serde_json::from_str(entry.as_str().unwrap()).unwrap();
    change(&mut card);
    *entry = card.to_string().into();
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, tensors].concat()
}

fn load(file: Vec<u8>) -> Result<ModelCard, String> {
    weights::from_bytes(file, &Device::flex())
        .map(|(_, card)| card)
        .map_err(|error| error.to_string())
}

#[test]
fn a_card_that_does_not_fit_its_file_is_refused() {
    assert!(load(with_card(|_| ())).is_ok());
    for (pointer, value, expected) in [
        (
            "/classes",
            json!(["a", "b"]),
            "it names 2 classes, and the model has 3",
        ),
        (
            "/normalization/mean",
            json!([]),
            "it normalises 0 and 1 channels",
        ),
        ("/normalization/std", json!([0.0]), "std positive"),
        ("/model/classes", json!(1_000_000_000_000_u64), "more than"),
        ("/model/classes", json!(u64::MAX), "more than"),
        ("/model/embed_dim", json!(1_u64 << 40), "more than"),
        ("/model/time_dim", json!(1_u64 << 40), "more than"),
        ("/model/head/hidden", json!([1_u64 << 40, 1]), "more than"),
        ("/model/input", json!([1_u64 << 40, 28, 28]), "more than"),
        ("/model/input", json!([1, 1_u64 << 40, 28]), "more than"),
        ("/model/backbone/width", json!(1_u64 << 40), "more than"),
        (
            "/model/class_embedding",
            json!({ "kind": "learned", "dim": 1_u64 << 40 }),
            "more than",
        ),
        ("/method/schedule/hidden", json!(1_u64 << 40), "more than"),
        ("/model/time_dim", json!(3), "time_dim"),
        ("/model", json!(null), "damaged"),
        ("/method", json!(null), "damaged"),
        ("/method/kind", json!("dt"), "damaged"),
    ] {
        let file = with_card(|card| *card.pointer_mut(pointer).unwrap() = value.clone());
        let message = load(file).unwrap_err();
        assert!(message.contains(expected), "{pointer} = {value}: {message}");
    }
}

#[test]
fn what_every_model_holds_is_not_more_than_it_holds() {
    // The bound on the size must not refuse a file that the program writes.
    for backbone in [
        BackboneConfig::Cnn(CnnConfig {
            width: 2,
            dropout: 0.1,
        }),
        BackboneConfig::Resnet(ResNetConfig {
            depth: Depth::ResNet10,
            stem: Stem::Small,
            width: 2,
        }),
        BackboneConfig::Resnet(ResNetConfig {
            depth: Depth::ResNet50,
            stem: Stem::Imagenet,
            width: 2,
        }),
    ] {
        let model = ModelConfig {
            backbone,
            embed_dim: 8,
            classes: 100,
            ..Default::default()
        };
        let card = ModelCard {
            method: Method::default(),
            model: model.clone(),
            normalization: Normalization {
                mean: vec![0.5],
                std: vec![0.5],
            },
            classes: (0..100).map(|i| i.to_string()).collect(),
            dataset: "cifar100".into(),
            blocks: None,
            inference: None,
        };
        let model = NoProp::new(&card.method, &model, 0, &Device::flex()).unwrap();
        let file = weights::to_bytes(&model, &card, Precision::Half).unwrap();
        assert_eq!(load(file), Ok(card));
    }
}

/// Numbers, texts and structures to put in the place of any value.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::from),
        (0_u64..70).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z-]{0,12}".prop_map(Value::from),
        prop::collection::vec(any::<u64>(), 0..4).prop_map(Value::from),
        Just(Value::Null),
        Just(json!({ "kind": "resnet", "depth": 18 })),
        Just(json!({ "kind": "prototype", "source": "image" })),
    ]
}

/// Collects the JSON pointer of every place in `value`.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                places(value, &format!("{at}/{key}"), all);
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                places(value, &format!("{at}/{i}"), all);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..512), length in 0_u64..600) {
        let _ = load(bytes.clone());
        let framed = [&length.to_le_bytes()[..], b"{\"__metadata__\":{", &bytes].concat();
        let _ = load(framed);
    }

    #[test]
    fn a_changed_byte_is_an_error_or_another_number(position in any::<prop::sample::Index>(), value: u8) {
        let mut file = good().to_vec();
        let at = position.index(file.len());
        file[at] = value;
        let _ = load(file);
    }

    #[test]
    fn a_truncated_file_is_an_error(length in any::<prop::sample::Index>()) {
        let length = length.index(good().len());
        prop_assert!(load(good()[..length].to_vec()).is_err());
    }

    #[test]
    fn no_metadata_panics(place in any::<prop::sample::Index>(), value in any_value()) {
        let file = with_card(|card| {
            let mut all = Vec::new();
            places(card, "", &mut all);
            *card.pointer_mut(place.get::<String>(&all)).unwrap() = value;
        });
        if let Ok(card) = load(file) {
            prop_assert_eq!(card.classes.len(), card.model.classes);
        }
    }
}
