//! Tensors by name, from a `.pt` or a `.safetensors` file.

use noprop_core::weights::{HostTensor, ModelCard, Tensors};
use safetensors::SafeTensors;

use crate::error::{PytorchError, shown};
use crate::{numbers, pt};

/// Key of the card in a safetensors file of ours.
pub(crate) const CARD_KEY: &str = "noprop.card";

/// The prefixes that wrappers of a model add to its names: `DataParallel`, `torch.compile`.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// The tensors in a file by their names, as f32, and the card in the metadata of a file that this project wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct StateDict {
    /// Every tensor but BatchNorm's counters `num_batches_tracked`.
    pub tensors: Tensors,
    /// The card of the model: its configuration, normalisation and classes. Only a file of this project has a card.
    pub card: Option<ModelCard>,
}

impl StateDict {
    /// Reads a `.pt` file (`torch.save` of a state dict, or of a checkpoint that has one under `state_dict`,
    /// `model_state_dict`, `model` or `net`) or a `.safetensors` file. Nothing in it is executed. A prefix
    /// `module.` or `_orig_mod.` that all names have is taken off.
    ///
    /// # Errors
    /// When the bytes are no such file, are damaged, or hold other values than tensors of f16, bf16, f32, f64 or i64.
    pub fn read(bytes: &[u8]) -> Result<Self, PytorchError> {
        let mut read = if pt::is_one(bytes) {
            Self {
                tensors: pt::read(bytes)?,
                card: None,
            }
        } else {
            safetensors(bytes)?
        };
        // A dimension of size 0 would let a small file ask for a large model.
        let empty = read.tensors.iter().find(|(_, t)| t.values.is_empty());
        if let Some((name, _)) = empty {
            return Err(PytorchError::Content(format!(
                "the tensor {} is empty",
                shown(name)
            )));
        }
        for wrapper in WRAPPERS {
            read.unwrap(wrapper);
        }
        Ok(read)
    }

    fn unwrap(&mut self, prefix: &str) {
        if self.tensors.keys().all(|name| name.starts_with(prefix)) {
            let tensors = std::mem::take(&mut self.tensors).into_iter();
            let bare = tensors.map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor));
            self.tensors = bare.collect();
        }
    }
}

fn safetensors(bytes: &[u8]) -> Result<StateDict, PytorchError> {
    let neither = |e: &dyn std::fmt::Display| {
        PytorchError::Damaged(format!("it is neither a .pt nor a .safetensors file ({e})"))
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| neither(&e))?;
    let card = header.metadata().as_ref().and_then(|map| map.get(CARD_KEY));
    let card = card.map(|text| serde_json::from_str(text));
    let card = card.transpose().map_err(|e| {
        PytorchError::Content(format!(
            "the card in the metadata of the weights is damaged: {e}"
        ))
    })?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| neither(&e))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        let values = numbers::read(view.dtype(), view.data());
        let values = values
            .map_err(|why| PytorchError::Content(format!("the tensor {} {why}", shown(name))))?;
        let shape = view.shape().to_vec();
        tensors.insert(name.to_owned(), HostTensor { shape, values });
    }
    Ok(StateDict { tensors, card })
}

#[cfg(test)]
mod tests {
    use super::*;
    use noprop_core::weights::serialize;

    fn one(name: &str, values: Vec<f32>) -> Tensors {
        let shape = vec![values.len()];
        [(name.to_owned(), HostTensor { shape, values })].into()
    }

    #[test]
    fn wrappers_are_taken_off_and_empty_tensors_refused() {
        let bytes = serialize(&one("module._orig_mod.a", vec![1.0]), &[]).expect("a file");
        let read = StateDict::read(&bytes).expect("a state dict");
        assert_eq!(read.tensors, one("a", vec![1.0]));
        let bytes = serialize(&one("a", vec![]), &[]).expect("a file");
        let error = StateDict::read(&bytes).expect_err("empty").to_string();
        assert!(error.contains("empty"), "{error}");
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [b"".as_slice(), b"hello", b"\x80\x02}.", b"PK\x03\x04"] {
            let error = StateDict::read(bytes).expect_err("no file").to_string();
            assert!(error.contains("torch.save"), "{error}");
        }
    }
}
