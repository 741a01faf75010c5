//! The tensors in a `.pt` file: `*/data.pkl` says which, `*/data/N` holds their numbers.

use noprop_core::weights::{HostTensor, Tensors};

use crate::error::PytorchError;
use crate::pickle::{self, Objects, Value};
use crate::zip::Archive;

/// Where checkpoints keep the state dict.
const KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// Whether the bytes are a `.pt` file.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    Archive::is_one(bytes)
}

/// All tensors of the state dict in a `.pt` file, which may be the whole or lie under one of
/// [`KEYS`]. Whatever is no tensor is left out.
///
/// # Errors
/// When the file is damaged or holds something else.
pub(crate) fn read(bytes: &[u8]) -> Result<Tensors, PytorchError> {
    let archive = Archive::open(bytes)?;
    let folder = archive
        .names()
        .find_map(|name| {
            let folder = name.strip_suffix("data.pkl")?;
            (folder.is_empty() || folder.find('/') == Some(folder.len() - 1)).then_some(folder)
        })
        .ok_or_else(|| PytorchError::damaged("the zip archive has no data.pkl"))?;
    if archive.get(&format!("{folder}byteorder")) == Some(b"big".as_slice()) {
        return Err(PytorchError::damaged("its numbers are big-endian"));
    }
    let pickle = archive
        .get(&format!("{folder}data.pkl"))
        .unwrap_or_default();
    let (root, objects) = pickle::run(pickle)?;
    let dict = state_dict(root, &objects)?;

    let mut tensors = Tensors::new();
    // Tensors may share numbers, but not so that a small file becomes a large model.
    let mut budget = bytes.len();
    for &(key, value) in dict {
        let (Some(name), Value::Tensor(id)) = (objects.as_text(key), value) else {
            continue;
        };
        // PyTorch counts the batches that BatchNorm saw; we do not.
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        let tensor = &objects.tensors[id];
        let storage = &objects.storages[tensor.storage];
        let data = archive
            .get(&format!("{folder}data/{}", storage.key))
            .ok_or_else(|| PytorchError::Damaged(format!("the numbers of {name} are missing")))?;
        let values = gather(tensor, storage, data, &mut budget).ok_or_else(|| {
            PytorchError::Damaged(format!(
                "the tensor {name} is of another type than f16, bf16, f32, f64 and i64, or does not fit its numbers"
            ))
        })?;
        let shape = tensor.shape.clone();
        tensors.insert(name.to_owned(), HostTensor { shape, values });
    }
    Ok(tensors)
}

/// The dictionary whose values are the model's tensors.
fn state_dict(root: Value, objects: &Objects) -> Result<&[(Value, Value)], PytorchError> {
    let holds_tensors = |dict: &[(Value, Value)]| {
        let is_tensor = |(_, value): &(Value, Value)| matches!(value, Value::Tensor(_));
        dict.iter().any(is_tensor)
    };
    let root = objects.as_dict(root).ok_or_else(|| {
        PytorchError::Content("the file holds no dictionary; save model.state_dict()".into())
    })?;
    let inner = KEYS.into_iter().find_map(|wanted| {
        let named = |(key, _): &&(Value, Value)| objects.as_text(*key) == Some(wanted);
        let dict = objects.as_dict(root.iter().find(named)?.1)?;
        holds_tensors(dict).then_some(dict)
    });
    match inner {
        Some(dict) => Ok(dict),
        None if holds_tensors(root) => Ok(root),
        None => {
            let keys: Vec<&str> = root
                .iter()
                .filter_map(|(key, _)| objects.as_text(*key))
                .take(10)
                .collect();
            Err(PytorchError::Content(format!(
                "there are no tensors in the file, nor under {}; it has the keys {keys:?}",
                KEYS.join(", ")
            )))
        }
    }
}

/// The values of a tensor in row-major order, or nothing where its storage does not hold them.
fn gather(
    tensor: &pickle::Tensor,
    storage: &pickle::Storage,
    data: &[u8],
    budget: &mut usize,
) -> Option<Vec<f32>> {
    let number = storage.number;
    if data.len() < storage.len.checked_mul(number.size()?)? {
        return None;
    }
    let count = product(&tensor.shape)?;
    if count > storage.len || tensor.strides.len() != tensor.shape.len() {
        return None;
    }
    *budget = budget.checked_sub(count)?;
    let mut values = Vec::with_capacity(count);
    let mut index = vec![0; tensor.shape.len()];
    for _ in 0..count {
        let mut at = tensor.offset;
        for (i, stride) in index.iter().zip(&tensor.strides) {
            at = at.checked_add(stride.checked_mul(*i)?)?;
        }
        if at >= storage.len {
            return None;
        }
        values.push(number.read(data, at)?);
        // The next index: the last dimension runs fastest.
        for (i, &size) in index.iter_mut().zip(&tensor.shape).rev() {
            *i += 1;
            if *i < size {
                break;
            }
            *i = 0;
        }
    }
    Some(values)
}

fn product(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1_usize, |n, &size| n.checked_mul(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;
    use crate::pickle::{Storage, Tensor};

    fn storage(len: usize) -> Storage {
        Storage {
            number: Number::F32,
            key: "0".into(),
            len,
        }
    }

    fn numbers(count: usize) -> Vec<u8> {
        (0..count).flat_map(|i| (i as f32).to_le_bytes()).collect()
    }

    fn values(tensor: &Tensor, len: usize, data: &[u8]) -> Option<Vec<f32>> {
        gather(tensor, &storage(len), data, &mut 100)
    }

    #[test]
    fn views_are_gathered_by_their_strides() {
        let view = |offset, shape: &[usize], strides: &[usize]| Tensor {
            storage: 0,
            offset,
            shape: shape.into(),
            strides: strides.into(),
        };
        let data = numbers(7);
        let gathered = |tensor: &Tensor| values(tensor, 7, &data);
        let transposed = view(1, &[2, 3], &[1, 2]);
        assert_eq!(gathered(&transposed), Some(vec![1., 3., 5., 2., 4., 6.]));
        assert_eq!(gathered(&view(6, &[], &[])), Some(vec![6.]));
        // Beyond the end, expanded beyond the storage, absurd.
        for wrong in [
            view(2, &[2, 3], &[1, 2]),
            view(0, &[8], &[0]),
            view(7, &[], &[]),
            view(0, &[2, 3], &[1]),
            view(usize::MAX, &[2], &[1]),
            view(0, &[2], &[usize::MAX]),
            view(0, &[usize::MAX, 2], &[0, 0]),
        ] {
            assert_eq!(gathered(&wrong), None, "{wrong:?}");
        }
        assert_eq!(
            values(&transposed, 8, &data),
            None,
            "a storage longer than its bytes"
        );
        assert_eq!(gather(&transposed, &storage(7), &data, &mut 5), None);
    }
}
