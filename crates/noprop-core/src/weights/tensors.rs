//! Weights on the host by name, in the layout of PyTorch. Readers of other formats produce them.

use std::collections::{BTreeMap, HashMap};

use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};
use burn::tensor::Device;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{CARD_KEY, FORMAT_VERSION, ModelCard, VERSION_KEY, from_bytes};
use crate::backbone::Backbone;
use crate::error::WeightsError;
use crate::model::NoProp;

/// A tensor on the host. Without dimensions it is one number.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// The dimensions.
    pub shape: Vec<usize>,
    /// The values, row-major; their number is the product of the dimensions.
    pub values: Vec<f32>,
}

/// Tensors by their names.
pub type Tensors = BTreeMap<String, HostTensor>;

/// All parameters and running statistics of `module`, with the names and in the layout of a weights file. The
/// module must be off the autodiff device.
///
/// # Errors
/// When the tensors cannot be serialised.
pub fn parameters<M: ModuleSnapshot>(module: &M) -> Result<Tensors, WeightsError> {
    let format = |e: &dyn core::fmt::Display| WeightsError::Format(e.to_string());
    let mut store = super::named_as_in_files(SafetensorsStore::from_bytes(None))
        .with_to_adapter(BurnToPyTorchAdapter);
    module.save_into(&mut store).map_err(|e| format(&e))?;
    let bytes = store.get_bytes().map_err(|e| format(&e))?;
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|e| format(&e))?;
    let read = |(name, view): (&str, TensorView<'_>)| {
        if view.dtype() != Dtype::F32 {
            return Err(format(&"a parameter is not of 32 bits"));
        }
        let numbers = view.data().chunks_exact(4);
        let values = numbers.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let tensor = HostTensor {
            shape: view.shape().to_vec(),
            values: values.collect(),
        };
        Ok((name.to_owned(), tensor))
    };
    file.iter().map(read).collect()
}

/// The bytes of a safetensors file with `tensors` in f32 and `metadata`.
///
/// # Errors
/// When a tensor's values do not fill its shape.
pub fn serialize(tensors: &Tensors, metadata: &[(&str, String)]) -> Result<Vec<u8>, WeightsError> {
    let format = |e: &dyn core::fmt::Display| WeightsError::Format(e.to_string());
    let bytes: Vec<Vec<u8>> = tensors.values().map(HostTensor::to_le_bytes).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes);
        Ok((name, view.map_err(|e| format(&e))?))
    });
    let views = views.collect::<Result<Vec<_>, WeightsError>>()?;
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    let metadata = (!metadata.is_empty()).then_some(metadata);
    let bytes = safetensors::serialize(views, metadata).map_err(|e| format(&e))?;
    super::with_sorted_header(&bytes)
}

impl HostTensor {
    /// The bytes of the values, little-endian.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
}

/// The network of `card` with weights `tensors`, on `device`.
///
/// # Errors
/// When the card contradicts itself, and when a tensor is missing, superfluous or of another shape than the
/// card says.
pub fn from_tensors(
    tensors: &Tensors,
    card: &ModelCard,
    device: &Device,
) -> Result<NoProp, WeightsError> {
    let text = serde_json::to_string(card).map_err(|e| WeightsError::Metadata(e.to_string()))?;
    let metadata = [(VERSION_KEY, FORMAT_VERSION.to_string()), (CARD_KEY, text)];
    Ok(from_bytes(serialize(tensors, &metadata)?, device)?.0)
}

/// The backbone with `tensors` in place of its own tensors of the same names, for example `conv1.weight`; the
/// others stay. The backbone must be off the autodiff device.
///
/// # Errors
/// When a tensor belongs to no layer of the backbone or has another shape.
pub fn load_backbone(mut backbone: Backbone, tensors: &Tensors) -> Result<Backbone, WeightsError> {
    let mut store = SafetensorsStore::from_bytes(Some(serialize(tensors, &[])?))
        .skip_enum_variants(true)
        .allow_partial(true)
        .with_from_adapter(PyTorchToBurnAdapter);
    let result = backbone
        .load_from(&mut store)
        .map_err(|e| WeightsError::Mismatch(e.to_string()))?;
    if let Some(name) = result.unused.first() {
        return Err(WeightsError::Mismatch(format!(
            "the tensor {name} belongs to no layer"
        )));
    }
    Ok(backbone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::{BackboneConfig, Depth, ResNetConfig, Stem};
    use crate::noise::initialised;

    fn backbone(seed: u64) -> Backbone {
        let config = ResNetConfig {
            depth: Depth::ResNet10,
            stem: Stem::Strided,
            width: 2,
        };
        let device = Device::flex();
        let config = BackboneConfig::Resnet(config);
        initialised(&device, seed, || config.init([1, 8, 8], 4, &device))
    }

    #[test]
    fn a_backbone_takes_what_is_given_and_keeps_the_rest() {
        let (source, target) = (backbone(1), backbone(2));
        let mut given = parameters(&source).unwrap();
        given.retain(|name, _| !name.starts_with("fc."));
        let before = parameters(&target).unwrap();
        let after = parameters(&load_backbone(target, &given).unwrap()).unwrap();
        for (name, tensor) in &after {
            let expected = given.get(name).unwrap_or(&before[name]);
            assert_eq!(tensor, expected, "{name}");
        }
        assert_ne!(after["conv1.weight"], before["conv1.weight"]);
    }

    #[test]
    fn a_stranger_is_refused() {
        let mut given = Tensors::new();
        given.insert(
            "layer9.weight".into(),
            HostTensor {
                shape: vec![1],
                values: vec![1.0],
            },
        );
        let error = load_backbone(backbone(1), &given).unwrap_err().to_string();
        assert!(error.contains("layer9.weight"), "{error}");
    }
}
