//! Tensors by name, from either kind of file.

use noprop_core::weights::{HostTensor, ModelCard, Tensors};
use safetensors::SafeTensors;

use crate::error::PytorchError;
use crate::number::Number;
use crate::torch;

/// Key of the card in a safetensors file of ours.
pub(crate) const CARD_KEY: &str = "noprop.card";

/// Prefixes of whatever wrapped the model: `DataParallel`, `torch.compile`.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// The weights in a file, as f32, and what our own files say about them.
#[derive(Debug, Clone, PartialEq)]
pub struct StateDict {
    /// Every tensor but the counters of BatchNorm.
    pub tensors: Tensors,
    /// The card, where the file is ours.
    pub card: Option<ModelCard>,
}

impl StateDict {
    /// Reads a `.pt` file (torch.save of a state dict, or of a checkpoint that holds one) or a
    /// `.safetensors` file.
    ///
    /// # Errors
    /// When it is neither, damaged, or holds something else. Nothing in it is executed.
    pub fn read(bytes: &[u8]) -> Result<Self, PytorchError> {
        let mut read = if torch::is_one(bytes) {
            Self {
                tensors: torch::read(bytes)?,
                card: None,
            }
        } else {
            safetensors(bytes)?
        };
        // A dimension of no size would let a small file ask for a large model.
        let empty = read.tensors.iter().find(|(_, t)| t.values.is_empty());
        if let Some((name, _)) = empty {
            return Err(PytorchError::Content(format!("the tensor {name} is empty")));
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
        let number = Number::of_safetensors(view.dtype());
        let read = |number: Number| {
            let count = view.data().len() / number.size()?;
            (0..count).map(|i| number.read(view.data(), i)).collect()
        };
        let values = number.and_then(read).ok_or_else(|| {
            PytorchError::Content(format!(
                "the tensor {name} is of type {:?}; expected f16, bf16, f32, f64 or i64",
                view.dtype()
            ))
        })?;
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
