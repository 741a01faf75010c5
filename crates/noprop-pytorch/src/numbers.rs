//! Numbers in the formats of PyTorch, little-endian, read as f32; and tensors as views of such numbers.

use half::{bf16, f16};
use safetensors::Dtype;

/// The largest number of dimensions of a tensor. No layer has more than five, and without a bound a small file could
/// name one tensor of a million dimensions many times.
pub(crate) const MOST_DIMENSIONS: usize = 64;

/// The types of numbers that are read, for messages.
const READ: &str = "f16, bf16, f32, f64 and i64 are read";

/// The type of the numbers in a `torch.NAMEStorage`; `None` if there is no such storage. Not every type can be read as
/// f32: a tensor of bytes may stand beside the weights.
pub(crate) fn dtype_of_storage(name: &str) -> Option<Dtype> {
    Some(match name.strip_suffix("Storage")? {
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::BF16,
        "Float" => Dtype::F32,
        "Double" => Dtype::F64,
        "Long" => Dtype::I64,
        "Byte" => Dtype::U8,
        "Char" => Dtype::I8,
        "Short" => Dtype::I16,
        "Int" => Dtype::I32,
        "Bool" => Dtype::BOOL,
        _ => return None,
    })
}

/// Reads all numbers in `bytes`.
///
/// # Errors
/// When numbers of this type are not read. The message continues a sentence whose subject is the tensor.
pub(crate) fn read(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>, String> {
    let (size, number) = reader(dtype)?;
    Ok(bytes.chunks_exact(size).map(number).collect())
}

/// Reads a number from its bytes.
type Reader = fn(&[u8]) -> f32;

/// The number of bytes of a number of type `dtype`, and the function that reads it.
fn reader(dtype: Dtype) -> Result<(usize, Reader), String> {
    Ok(match dtype {
        Dtype::F16 => (2, |bytes| f16::from_le_bytes(array(bytes)).to_f32()),
        Dtype::BF16 => (2, |bytes| bf16::from_le_bytes(array(bytes)).to_f32()),
        Dtype::F32 => (4, |bytes| f32::from_le_bytes(array(bytes))),
        Dtype::F64 => (8, |bytes| f64::from_le_bytes(array(bytes)) as f32),
        Dtype::I64 => (8, |bytes| i64::from_le_bytes(array(bytes)) as f32),
        other => return Err(format!("is of the type {other}; {READ}")),
    })
}

/// The first `N` bytes; zeros where there are fewer.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

/// A tensor as a view of a storage: which numbers of the storage it consists of, and their order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    /// The index in the storage of the first number.
    pub(crate) offset: usize,
    /// Sizes of the dimensions.
    pub(crate) shape: Vec<usize>,
    /// The distance in the storage between neighbours along each dimension.
    pub(crate) strides: Vec<usize>,
}

impl View {
    /// The number of values of the tensor; `None` if it exceeds a `usize`.
    pub(crate) fn count(&self) -> Option<usize> {
        let mut sizes = self.shape.iter();
        sizes.try_fold(1_usize, |count, &size| count.checked_mul(size))
    }

    /// Copies the numbers of the tensor in row-major order from a storage of `len` numbers of type `dtype` in `bytes`.
    /// A tensor with more numbers than its storage, such as an expanded one (stride 0), is refused.
    ///
    /// # Errors
    /// When the tensor does not lie within the storage. The message continues a sentence whose subject is the tensor.
    pub(crate) fn gather(
        &self,
        dtype: Dtype,
        len: usize,
        bytes: &[u8],
    ) -> Result<Vec<f32>, String> {
        let (size, number) = reader(dtype)?;
        let beyond = || "does not lie within its numbers".to_owned();
        let is_complete = len.checked_mul(size).is_some_and(|all| all <= bytes.len());
        let count = self.count().filter(|&count| count <= len);
        let (true, Some(count)) = (is_complete, count) else {
            return Err(beyond());
        };
        if self.strides.len() != self.shape.len() || self.shape.len() > MOST_DIMENSIONS {
            return Err(format!(
                "has {} sizes and {} strides; expected as many of each, at most {MOST_DIMENSIONS}",
                self.shape.len(),
                self.strides.len()
            ));
        }
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let at = self.position(&index).filter(|&at| at < len);
            let at = size * at.ok_or_else(beyond)?;
            values.push(number(&bytes[at..at + size]));
            // The next index: the last dimension runs fastest.
            for (i, &size) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < size {
                    break;
                }
                *i = 0;
            }
        }
        Ok(values)
    }

    /// The index in the storage of the number at `index` of the tensor; `None` if it exceeds a `usize`.
    fn position(&self, index: &[usize]) -> Option<usize> {
        let mut steps = index.iter().zip(&self.strides);
        steps.try_fold(self.offset, |at, (i, stride)| {
            at.checked_add(stride.checked_mul(*i)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read() {
        let twice = |bytes: &[u8], dtype| {
            let bytes = [bytes, bytes].concat();
            assert_eq!(read(dtype, &bytes), Ok(vec![-3.0; 2]), "{dtype}");
            let second = View {
                offset: 1,
                shape: vec![],
                strides: vec![],
            };
            assert_eq!(second.gather(dtype, 2, &bytes), Ok(vec![-3.0]), "{dtype}");
            assert!(second.gather(dtype, 3, &bytes).is_err(), "{dtype}");
        };
        twice(&0xc200_u16.to_le_bytes(), Dtype::F16);
        twice(&0xc040_u16.to_le_bytes(), Dtype::BF16);
        twice(&(-3_f32).to_le_bytes(), Dtype::F32);
        twice(&(-3_f64).to_le_bytes(), Dtype::F64);
        twice(&(-3_i64).to_le_bytes(), Dtype::I64);
        let refusal = read(Dtype::U8, &[1]).expect_err("bytes");
        assert!(refusal.contains("U8"), "{refusal}");
        assert_eq!(dtype_of_storage("ByteStorage"), Some(Dtype::U8));
        assert_eq!(dtype_of_storage("QUInt8Storage"), None);
    }

    #[test]
    fn halves_are_ieee_754s() {
        for (bits, value) in [
            (0x0000_u16, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x83ff, -6.097_555e-5),
            (0x7c00, f32::INFINITY),
        ] {
            let read = read(Dtype::F16, &bits.to_le_bytes());
            assert_eq!(read, Ok(vec![value]), "{bits:#06x}");
        }
    }

    #[test]
    fn views_are_gathered_by_their_strides() {
        let view = |offset, shape: &[usize], strides: &[usize]| View {
            offset,
            shape: shape.into(),
            strides: strides.into(),
        };
        let numbers: Vec<u8> = (0..7).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let gathered = |view: &View, len| view.gather(Dtype::F32, len, &numbers);
        let transposed = view(1, &[2, 3], &[1, 2]);
        let expected = vec![1., 3., 5., 2., 4., 6.];
        assert_eq!(gathered(&transposed, 7), Ok(expected));
        assert_eq!(gathered(&view(6, &[], &[]), 7), Ok(vec![6.]));
        // These views go beyond the end of the storage, have more numbers than the storage, or have absurd sizes.
        for wrong in [
            view(2, &[2, 3], &[1, 2]),
            view(0, &[8], &[0]),
            view(7, &[], &[]),
            view(0, &[2, 3], &[1]),
            view(usize::MAX, &[2], &[1]),
            view(0, &[2], &[usize::MAX]),
            view(0, &[usize::MAX, 2], &[0, 0]),
            view(0, &[1; 65], &[1; 65]),
        ] {
            assert!(gathered(&wrong, 7).is_err(), "{wrong:?}");
        }
        let longer_than_its_bytes = gathered(&transposed, 8);
        assert!(longer_than_its_bytes.is_err());
    }
}
