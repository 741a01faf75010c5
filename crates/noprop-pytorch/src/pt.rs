//! The tensors in a `.pt` file, a zip archive: the pickle `*/data.pkl` describes them, and `*/data/N` hold their
//! numbers.

use std::collections::BTreeMap;
use std::io::Cursor;

use noprop_core::weights::{HostTensor, Tensors};
use zip::{CompressionMethod, ZipArchive};

use crate::error::{PytorchError, shown};
use crate::pickle::{self, Objects, Value};

/// The keys under which checkpoints keep the state dict.
const KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// Whether the bytes begin as a `.pt` file of PyTorch 1.6 or newer does.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Reads all tensors of the state dict in a `.pt` file. The state dict is the whole file or lies under one of [`KEYS`].
/// Values other than tensors are left out.
///
/// # Errors
/// When the file is damaged or holds something else.
pub(crate) fn read(bytes: &[u8]) -> Result<Tensors, PytorchError> {
    let entries = open(bytes)?;
    let pickle = entries.iter().find_map(|(name, content)| {
        let folder = name.strip_suffix("data.pkl")?;
        let is_top = folder.is_empty() || folder.find('/') == Some(folder.len() - 1);
        is_top.then_some((folder, content))
    });
    let (folder, pickle) = pickle
        .ok_or_else(|| PytorchError::Damaged("the zip archive has no data.pkl".to_owned()))?;
    if entries.get(&format!("{folder}byteorder")) == Some(&b"big".as_slice()) {
        return Err(PytorchError::Damaged(
            "its numbers are big-endian".to_owned(),
        ));
    }
    let storages = format!("{folder}data/");
    let storages = entries
        .iter()
        .filter_map(|(name, content)| Some((name.strip_prefix(&storages)?, *content)));
    let storages: BTreeMap<&str, &[u8]> = storages.collect();
    let (root, objects) = pickle::run(pickle)?;

    let mut tensors = Tensors::new();
    // Tensors may share numbers, names and storages, but not so that a small file becomes a large model.
    let mut budget = bytes.len();
    for &(key, value) in state_dict(root, &objects)? {
        let (Some(name), Value::Tensor(id)) = (objects.as_text(key), value) else {
            continue;
        };
        // PyTorch counts the batches that BatchNorm saw; we do not.
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        let unfit = |why: &str| PytorchError::Damaged(format!("the tensor {} {why}", shown(name)));
        let tensor = &objects.tensors[id];
        let storage = &objects.storages[tensor.storage];
        let view = objects
            .view(tensor)
            .ok_or_else(|| unfit("has sizes or strides that no tensor has"))?;
        let key = &objects.texts[storage.key];
        let cost = view
            .count()
            .and_then(|count| count.checked_add(name.len() + key.len()));
        budget = cost
            .and_then(|cost| budget.checked_sub(cost))
            .ok_or_else(|| unfit("has more numbers than the file can hold"))?;
        let content = storages
            .get(key.as_str())
            .ok_or_else(|| unfit("has no numbers in the file"))?;
        let values = view
            .gather(storage.dtype, storage.len, content)
            .map_err(|why| unfit(&why))?;
        let shape = view.shape;
        tensors.insert(name.to_owned(), HostTensor { shape, values });
    }
    Ok(tensors)
}

/// The entries of a zip archive by name. torch.save stores them uncompressed, so they are borrowed from `bytes`.
///
/// # Errors
/// When the archive is damaged, or has entries that torch.save does not write, such as compressed ones, which could be
/// a thousand times as large as the file.
fn open(bytes: &[u8]) -> Result<BTreeMap<String, &[u8]>, PytorchError> {
    let damaged = |why: &dyn std::fmt::Display| {
        PytorchError::Damaged(format!("the zip archive is truncated or damaged ({why})"))
    };
    let twice =
        || PytorchError::Damaged("the zip archive has two entries of the same name".to_owned());
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(&e))?;
    if archive.has_duplicate_names() {
        return Err(twice());
    }
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|e| damaged(&e))?;
        let name = entry.name().map_err(|e| damaged(&e))?.into_owned();
        let is_stored = entry.compression() == CompressionMethod::Stored
            && entry.compressed_size() == entry.size();
        if entry.encrypted() || !is_stored {
            return Err(PytorchError::Damaged(format!(
                "the entry {} of the zip archive is compressed or encrypted, which torch.save never does",
                shown(&name)
            )));
        }
        let start = entry.data_start().and_then(|at| usize::try_from(at).ok());
        let content = start.zip(usize::try_from(entry.size()).ok());
        let content = content.and_then(|(at, size)| bytes.get(at..at.checked_add(size)?));
        let content = content.ok_or_else(|| damaged(&"an entry lies beyond the end"))?;
        if entries.insert(name, content).is_some() {
            return Err(twice());
        }
    }
    Ok(entries)
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
            let keys = root.iter().filter_map(|(key, _)| objects.as_text(*key));
            let keys: Vec<String> = keys.take(10).map(shown).collect();
            Err(PytorchError::Content(format!(
                "there are no tensors in the file, nor under {}; its keys are [{}]",
                KEYS.join(", "),
                keys.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    /// An archive of stored entries.
    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        for (name, content) in entries {
            zip.start_file(*name, stored).expect("an entry");
            zip.write_all(content).expect("its content");
        }
        zip.finish().expect("an archive").into_inner()
    }

    fn refusal(bytes: &[u8]) -> String {
        open(bytes).expect_err("a refusal").to_string()
    }

    #[test]
    fn entries_are_found_by_name() {
        let bytes = archive(&[("x/a", b"first"), ("x/b", b"")]);
        let entries = open(&bytes).expect("an archive");
        let expected: [(String, &[u8]); 2] = [("x/a".into(), b"first"), ("x/b".into(), b"")];
        assert_eq!(entries, expected.into());
    }

    #[test]
    fn what_torch_does_not_write_is_refused() {
        let whole = archive(&[("a", b"content"), ("b", b"content")]);
        let headers = whole.windows(4).enumerate();
        let mut headers = headers.filter(|(_, bytes)| *bytes == b"PK\x01\x02");
        let [(first, _), (second, _)] = [0; 2].map(|_| headers.next().expect("a header"));
        let changed = |changes: &[(usize, u8)]| {
            let mut bytes = whole.clone();
            for &(at, byte) in changes {
                bytes[at] = byte;
            }
            refusal(&bytes)
        };
        assert!(changed(&[(first + 10, 8)]).contains("compressed"));
        assert!(changed(&[(first + 8, 1)]).contains("encrypted"));
        // An offset and a size beyond the end.
        assert!(changed(&[(first + 44, 1)]).contains("damaged"));
        assert!(changed(&[(first + 23, 1), (first + 27, 1)]).contains("damaged"));
        assert!(changed(&[(second + 46, b'a')]).contains("two entries"));
        for length in 0..whole.len() {
            refusal(&whole[..length]);
        }
    }

    /// The operation that pushes a text.
    fn text(text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).expect("a short text");
        [b"X".as_slice(), &length.to_le_bytes(), text.as_bytes()].concat()
    }

    /// The operations that push a tensor of f32 with these sizes and strides, in the storage `key` of 64 numbers.
    fn tensor(key: &str, shape: &[u8], strides: &[u8]) -> Vec<u8> {
        let sizes = |sizes: &[u8]| {
            let items: Vec<u8> = sizes.iter().flat_map(|&size| [b'K', size]).collect();
            [b"(".as_slice(), &items, b"t"].concat()
        };
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
            text("storage"),
            b"ctorch\nFloatStorage\n".to_vec(),
            text(key),
            text("cpu"),
            b"K\x40tQK\x00".to_vec(),
            sizes(shape),
            sizes(strides),
            b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
        ]
        .concat()
    }

    /// Reads a file of `pickle` and the storage 0.
    fn file(pickle: &[&[u8]]) -> Result<Tensors, PytorchError> {
        let numbers: Vec<u8> = (0..64_u8)
            .flat_map(|i| f32::from(i).to_le_bytes())
            .collect();
        read(&archive(&[
            ("m/data.pkl", &pickle.concat()),
            ("m/data/0", &numbers),
        ]))
    }

    #[test]
    fn a_dictionary_of_tensors_is_read() {
        let pickle = [
            b"\x80\x02}(".as_slice(),
            &text("a"),
            &tensor("0", &[2, 2], &[1, 2]),
            b"u.",
        ];
        let read = file(&pickle).expect("tensors");
        let transposed = HostTensor {
            shape: vec![2, 2],
            values: vec![0.0, 2.0, 1.0, 3.0],
        };
        assert_eq!(read, [("a".to_owned(), transposed)].into());
        let missing = [
            b"}(".as_slice(),
            &text("a"),
            &tensor("1", &[1], &[1]),
            b"u.",
        ];
        let refusal = file(&missing).expect_err("no storage").to_string();
        assert!(refusal.contains("the tensor a has no numbers"), "{refusal}");
    }

    /// If recalled values were copied, each of these files of a megabyte or two would need gigabytes or minutes.
    #[test]
    fn what_is_recalled_often_is_held_once() {
        let often = |operations: &[u8]| operations.repeat(8000);
        let long = "a".repeat(1 << 20);
        let storage = [
            b"(".to_vec(),
            text("storage"),
            b"ctorch\nFloatStorage\n".to_vec(),
            text(&long),
            text("cpu"),
            b"K\x01tq\x00".to_vec(),
        ]
        .concat();
        let refusal = |pickle: &[&[u8]]| file(pickle).expect_err("no tensors").to_string();
        let error = refusal(&[&storage, &often(b"h\x00Q"), b"."]);
        assert!(error.contains("no dictionary"), "{error}");

        let ones = vec![1; 500_000];
        let many = tensor("0", &ones, &ones);
        let arguments = &many[b"ctorch._utils\n_rebuild_tensor_v2\n".len()..many.len() - 1];
        let error = refusal(&[
            b"ctorch._utils\n_rebuild_tensor_v2\nq\x00",
            arguments,
            b"q\x01",
            &often(b"h\x00h\x01R"),
            b".",
        ]);
        assert!(error.contains("no dictionary"), "{error}");

        let named: Vec<u8> = (0..8000)
            .flat_map(|i| [text(&i.to_string()), b"h\x00".to_vec()].concat())
            .collect();
        let error = refusal(&[b"}(", &text("a"), &many, b"q\x00", &named, b"u."]);
        assert!(
            error.contains("the tensor a has sizes or strides"),
            "{error}"
        );

        // A long name over and over, and one tensor under many names.
        let one = tensor("0", &[1], &[1]);
        let error = refusal(&[
            &text(&long),
            b"q\x00",
            &one,
            b"q\x01}(",
            &often(b"h\x00h\x01"),
            b"u.",
        ]);
        assert!(error.contains("more numbers than the file"), "{error}");
        assert!(error.len() < 300, "{error}");
        let whole = tensor("0", &[64], &[1]);
        let names: Vec<u8> = (0..100_u8).flat_map(|i| [b'\x8c', 1, i, b'h', 0]).collect();
        let error = refusal(&[&whole, b"q\x00}(", &names, b"u."]);
        assert!(error.contains("more numbers than the file"), "{error}");
    }
}
