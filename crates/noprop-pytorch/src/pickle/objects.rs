//! The objects that a pickle builds. Values are handles into lists, so that a deep or circular structure neither
//! overflows the stack nor leaks, and so that a value that is recalled a million times is held once.

use safetensors::Dtype;

use crate::numbers::{MOST_DIMENSIONS, View, dtype_of_storage};

/// The index of a text, sequence, … in its list in [`Objects`].
pub(crate) type Id = usize;

/// A value that may lie on the stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Id),
    /// A tuple or a list.
    Sequence(Id),
    Dict(Id),
    Global(Global),
    Storage(Id),
    Tensor(Id),
}

/// The names that a pickle may refer to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Global {
    pub(crate) fn find(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", name) => dtype_of_storage(name).map(Self::Storage),
            _ => None,
        }
    }
}

/// The numbers in an entry of the archive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Storage {
    pub(crate) dtype: Dtype,
    /// The text that names the entry below `data/`.
    pub(crate) key: Id,
    /// The number of values.
    pub(crate) len: usize,
}

/// A view of a storage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) storage: Id,
    pub(crate) offset: usize,
    /// The sequence of the tensor's sizes.
    pub(crate) shape: Id,
    /// The sequence of the tensor's strides.
    pub(crate) strides: Id,
}

/// Everything that a pickle built.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) texts: Vec<String>,
    pub(crate) sequences: Vec<Vec<Value>>,
    pub(crate) dicts: Vec<Vec<(Value, Value)>>,
    pub(crate) storages: Vec<Storage>,
    pub(crate) tensors: Vec<Tensor>,
}

impl Objects {
    pub(crate) fn text(&mut self, text: String) -> Value {
        self.texts.push(text);
        Value::Text(self.texts.len() - 1)
    }

    pub(crate) fn sequence(&mut self, items: Vec<Value>) -> Value {
        self.sequences.push(items);
        Value::Sequence(self.sequences.len() - 1)
    }

    pub(crate) fn dict(&mut self) -> Value {
        self.dicts.push(Vec::new());
        Value::Dict(self.dicts.len() - 1)
    }

    pub(crate) fn storage(&mut self, storage: Storage) -> Value {
        self.storages.push(storage);
        Value::Storage(self.storages.len() - 1)
    }

    pub(crate) fn tensor(&mut self, tensor: Tensor) -> Value {
        self.tensors.push(tensor);
        Value::Tensor(self.tensors.len() - 1)
    }

    pub(crate) fn as_text(&self, value: Value) -> Option<&str> {
        match value {
            Value::Text(id) => self.texts.get(id).map(String::as_str),
            _ => None,
        }
    }

    pub(crate) fn as_sequence(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::Sequence(id) => self.sequences.get(id).map(Vec::as_slice),
            _ => None,
        }
    }

    pub(crate) fn as_dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match value {
            Value::Dict(id) => self.dicts.get(id).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The view that `tensor` describes; `None` if a size or stride is no whole number from 0 on, or if there are more
    /// than [`MOST_DIMENSIONS`].
    pub(crate) fn view(&self, tensor: &Tensor) -> Option<View> {
        let sizes = |id: Id| {
            let items = self.sequences.get(id)?;
            if items.len() > MOST_DIMENSIONS {
                return None;
            }
            items.iter().map(|&item| as_size(item)).collect()
        };
        Some(View {
            offset: tensor.offset,
            shape: sizes(tensor.shape)?,
            strides: sizes(tensor.strides)?,
        })
    }
}

/// The value as a size; `None` if it is no whole number from 0 on.
pub(crate) fn as_size(value: Value) -> Option<usize> {
    match value {
        Value::Int(n) => usize::try_from(n).ok(),
        _ => None,
    }
}
