//! Weights files. A model is one safetensors file: its tensors, and in the metadata its card with method,
//! architecture, normalisation and class names.
//!
//! The tensors have the names and the layout of PyTorch (`backbone.layer1.0.bn1.weight`, linear weights
//! `[out, in]`), so Python can use the file directly.

mod card;
mod merge;
mod tensors;

pub use merge::merge;

use burn::module::Module;
use burn::store::{
    BurnToPyTorchAdapter, HalfPrecisionAdapter, ModuleAdapter, ModuleSnapshot,
    PyTorchToBurnAdapter, SafetensorsStore,
};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::block_range::BlockRange;
use crate::config::ModelConfig;
use crate::error::WeightsError;
use crate::inference::Inference;
use crate::method::Method;
use crate::model::NoProp;
use crate::normalization::Normalization;

pub use card::check as check_card;
pub use tensors::{HostTensor, Tensors, from_tensors, load_backbone, parameters, serialize};

/// The version of the metadata that this build writes and reads.
pub const FORMAT_VERSION: u32 = 1;

const VERSION_KEY: &str = "noprop.format_version";
const CARD_KEY: &str = "noprop.card";

/// The card of a weights file: everything besides the tensors that is needed to use them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The method by which the network was trained and walks.
    pub method: Method,
    /// The architecture of the network.
    pub model: ModelConfig,
    /// The normalisation of pixels.
    pub normalization: Normalization,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The name of the dataset.
    pub dataset: String,
    /// The blocks that are trained, if they are not all; only NoProp-DT can have it. [`merge`] makes one
    /// model of such files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<BlockRange>,
    /// The recommended walk, votes and views. If it is absent, one default walk of the method is recommended
    /// ([`Self::inference_or_usual`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<Inference>,
}

impl ModelCard {
    /// The recommended way to ask the model, or one default walk of its method where the card recommends none.
    pub fn inference_or_usual(&self) -> Inference {
        self.inference
            .unwrap_or_else(|| Inference::usual(&self.method))
    }

    /// Checks that all blocks are trained, so that the model can be used.
    ///
    /// # Errors
    /// When only some blocks are trained.
    pub fn check_complete(&self) -> Result<(), WeightsError> {
        match (self.blocks, self.method.blocks()) {
            (Some(trained), Some(all)) => Err(WeightsError::Partial { trained, all }),
            _ => Ok(()),
        }
    }
}

/// The store with tensor names as they are in files. They do not contain the module paths of the parts, so
/// they are equal for all methods, for example `backbone.conv1.weight`.
fn named_as_in_files(store: SafetensorsStore) -> SafetensorsStore {
    store
        .skip_enum_variants(true)
        .with_key_remapping(r"^parts\.(network\.)?", "")
}

/// The store with tensor names as they are in modules: the inverse of [`named_as_in_files`].
fn named_as_in_modules(store: SafetensorsStore) -> SafetensorsStore {
    store
        .skip_enum_variants(true)
        .with_key_remapping(r"^(backbone|denoiser)\.", "parts.network.$1.")
        .with_key_remapping(r"^(blocks|schedule|output_head)\.", "parts.$1.")
}

/// The precision of the tensors in a file. In memory they are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// The tensors have the precision of training, f32.
    Full,
    /// Convolutions and linear layers have f16, which halves the file; BatchNorm, class embeddings and noise
    /// schedule stay f32.
    Half,
}

/// The bytes of a weights file with `model` and `card`. The model must be off the autodiff device.
///
/// # Errors
/// When the tensors cannot be serialised.
pub fn to_bytes(
    model: &NoProp,
    card: &ModelCard,
    precision: Precision,
) -> Result<Vec<u8>, WeightsError> {
    let card = serde_json::to_string(card).map_err(|e| WeightsError::Metadata(e.to_string()))?;
    let mut store = named_as_in_files(SafetensorsStore::from_bytes(None))
        .metadata(VERSION_KEY, FORMAT_VERSION.to_string())
        .metadata(CARD_KEY, card);
    store = match precision {
        Precision::Full => store.with_to_adapter(BurnToPyTorchAdapter),
        Precision::Half => {
            store.with_to_adapter(BurnToPyTorchAdapter.chain(HalfPrecisionAdapter::new()))
        }
    };
    model
        .save_into(&mut store)
        .map_err(|e| WeightsError::Format(e.to_string()))?;
    let bytes = store
        .get_bytes()
        .map_err(|e| WeightsError::Format(e.to_string()))?;
    with_sorted_header(&bytes)
}

/// The safetensors file `bytes` with the keys of its JSON header in order. The store writes its metadata in
/// the random order of a hash map, but a checksum of the file should depend on the weights only.
fn with_sorted_header(bytes: &[u8]) -> Result<Vec<u8>, WeightsError> {
    let format = |e: &dyn core::fmt::Display| WeightsError::Format(e.to_string());
    let (length, _) = safetensors::SafeTensors::read_metadata(bytes).map_err(|e| format(&e))?;
    let (header, tensors) = bytes[8..].split_at(length);
    // serde_json's maps are sorted.
    let header: serde_json::Value = serde_json::from_slice(header).map_err(|e| format(&e))?;
    let mut header = serde_json::to_vec(&header).map_err(|e| format(&e))?;
    // Tensors start at a multiple of 8, as the format asks for.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut sorted = (header.len() as u64).to_le_bytes().to_vec();
    sorted.append(&mut header);
    sorted.extend_from_slice(tensors);
    Ok(sorted)
}

/// The card of a weights file, without its tensors.
///
/// # Errors
/// When the bytes are not a weights file of NoProp or have another format version, and when the card does not
/// fit the size of the file.
pub fn read_card(bytes: &[u8]) -> Result<ModelCard, WeightsError> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes)
        .map_err(|e| WeightsError::Format(e.to_string()))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let version = metadata
        .get(VERSION_KEY)
        .ok_or(WeightsError::NotOurs { key: VERSION_KEY })?;
    if *version != FORMAT_VERSION.to_string() {
        return Err(WeightsError::Version {
            found: version.clone(),
            expected: FORMAT_VERSION,
        });
    }
    let card = metadata
        .get(CARD_KEY)
        .ok_or(WeightsError::NotOurs { key: CARD_KEY })?;
    let card: ModelCard =
        serde_json::from_str(card).map_err(|e| WeightsError::Metadata(e.to_string()))?;
    card::check(&card, bytes.len())?;
    Ok(card)
}

/// The network in a weights file, on `device` and in f32, and its card. A file of NoProp-DT may lack trained
/// blocks; [`ModelCard::check_complete`] checks that.
///
/// # Errors
/// When [`read_card`] fails, and when a tensor is missing, superfluous or of another shape than the card says.
pub fn from_bytes(bytes: Vec<u8>, device: &Device) -> Result<(NoProp, ModelCard), WeightsError> {
    let card = read_card(&bytes)?;
    let half = safetensors::SafeTensors::deserialize(&bytes)
        .map_err(|e| WeightsError::Format(e.to_string()))?
        .iter()
        .any(|(_, tensor)| tensor.dtype() == safetensors::Dtype::F16);
    let mut store = named_as_in_modules(SafetensorsStore::from_bytes(Some(bytes)));
    store = if half {
        store.with_from_adapter(PyTorchToBurnAdapter.chain(HalfPrecisionAdapter::new()))
    } else {
        store.with_from_adapter(PyTorchToBurnAdapter)
    };
    let mut model = NoProp::new(&card.method, &card.model, 0, device)?;
    let result = model
        .load_from(&mut store)
        .map_err(|e| WeightsError::Mismatch(e.to_string()))?;
    if let Some(name) = result.unused.first() {
        return Err(WeightsError::Mismatch(format!(
            "the tensor {name} belongs to no layer"
        )));
    }
    Ok((model.no_grad(), card))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{BackboneConfig, Depth, ResNetConfig, Stem};
    use crate::noise::{NoiseSource, Purpose};
    use burn::tensor::{Tensor, TensorData};

    fn small() -> (NoProp, ModelCard) {
        let model = ModelConfig {
            backbone: BackboneConfig::Resnet(ResNetConfig {
                depth: Depth::ResNet10,
                stem: Stem::Imagenet,
                width: 4,
            }),
            embed_dim: 16,
            ..Default::default()
        };
        let card = ModelCard {
            method: Method::default(),
            model: model.clone(),
            normalization: Normalization {
                mean: vec![0.1307],
                std: vec![0.3081],
            },
            classes: (0..10).map(|i| i.to_string()).collect(),
            dataset: "mnist".into(),
            blocks: None,
            inference: None,
        };
        let model = NoProp::new(&card.method, &model, 3, &Device::flex()).unwrap();
        (model, card)
    }

    fn logits(model: &NoProp) -> Vec<f32> {
        let device = Device::flex();
        let mut noise = NoiseSource::new(9, Purpose::Sampling, 0);
        let images = TensorData::new(noise.normal(3 * 28 * 28), [3, 1, 28, 28]);
        let features = model.features(Tensor::from_data(images, &device));
        let z = Tensor::from_data(TensorData::new(noise.normal(30), [3, 10]), &device);
        let estimate = model.estimate(&features, z, 0.25);
        estimate.logits.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_model_survives_its_file() {
        let (model, card) = small();
        for (precision, tolerance) in [(Precision::Full, 0.0), (Precision::Half, 5e-3)] {
            let bytes = to_bytes(&model, &card, precision).unwrap();
            let (again, card_again) = from_bytes(bytes, &Device::flex()).unwrap();
            assert_eq!(card, card_again);
            // f16 keeps 11 bits: relative error 5e-4 per weight, logits are of order 1.
            for (a, b) in logits(&model).iter().zip(logits(&again)) {
                assert!((a - b).abs() <= tolerance, "{precision:?}: {a} became {b}");
            }
        }
    }

    #[test]
    fn a_card_keeps_how_the_model_is_asked() {
        let (model, card) = small();
        let bytes = to_bytes(&model, &card, Precision::Full).unwrap();
        assert_eq!(read_card(&bytes).unwrap().inference, None);
        let walk = crate::sampler::Walk {
            temperature: 0.35,
            ..card.method.default_walk()
        };
        let inference = Inference {
            walk,
            votes: 16,
            views: crate::inference::Views::FlipShift,
        };
        let with = |inference| ModelCard {
            inference: Some(inference),
            ..card.clone()
        };
        let bytes = to_bytes(&model, &with(inference), Precision::Full).unwrap();
        assert_eq!(read_card(&bytes).unwrap().inference, Some(inference));
        let votes = usize::MAX;
        let wrong = with(Inference { votes, ..inference });
        let bytes = to_bytes(&model, &wrong, Precision::Full).unwrap();
        let error = read_card(&bytes).unwrap_err().to_string();
        assert!(error.contains("votes"), "{error}");
    }

    #[test]
    fn names_are_torchvisions() {
        let (model, card) = small();
        let bytes = to_bytes(&model, &card, Precision::Full).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut names = file.names();
        names.sort_unstable();
        for name in [
            "backbone.conv1.weight",
            "backbone.bn1.running_mean",
            "backbone.layer2.0.bn2.weight",
            "backbone.layer2.0.downsample.0.weight",
            "backbone.layer2.0.downsample.1.bias",
            "backbone.fc.weight",
            "schedule.gamma_0",
        ] {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
        // PyTorch's layout: [out, in].
        assert_eq!(file.tensor("backbone.fc.weight").unwrap().shape(), [16, 32]);
    }

    #[test]
    fn the_same_weights_give_the_same_bytes() {
        // The order of a hash map differs from one map to the next within a process, too.
        let (model, card) = small();
        let first = to_bytes(&model, &card, Precision::Half).unwrap();
        for _ in 0..8 {
            assert!(to_bytes(&model, &card, Precision::Half).unwrap() == first);
        }
    }

    #[test]
    fn damage_is_named() {
        let (model, card) = small();
        let bytes = to_bytes(&model, &card, Precision::Full).unwrap();
        let load = |bytes: Vec<u8>| from_bytes(bytes, &Device::flex()).unwrap_err().to_string();
        assert!(load(bytes[..bytes.len() / 2].to_vec()).contains("truncated"));
        assert!(load(b"hello".to_vec()).contains("not a readable safetensors file"));
        let other = ModelCard {
            model: ModelConfig {
                embed_dim: 8,
                ..card.model.clone()
            },
            ..card
        };
        let wrong = to_bytes(&model, &other, Precision::Full).unwrap();
        assert!(load(wrong).contains("do not fit"));
    }
}
