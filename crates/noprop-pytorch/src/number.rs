//! Numbers as PyTorch stores them, little-endian, as f32.

/// Type of a stored number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    F16,
    Bf16,
    F32,
    F64,
    I64,
    /// One that no model here has: known, so that it may stand beside the weights, but not read.
    Other(&'static str),
}

impl Number {
    /// The number stored in a `torch.NAMEStorage`.
    pub(crate) fn of_storage(name: &str) -> Option<Self> {
        const OTHERS: [&str; 5] = ["Byte", "Char", "Short", "Int", "Bool"];
        let name = name.strip_suffix("Storage")?;
        Some(match name {
            "Half" => Self::F16,
            "BFloat16" => Self::Bf16,
            "Float" => Self::F32,
            "Double" => Self::F64,
            "Long" => Self::I64,
            other => Self::Other(OTHERS.into_iter().find(|known| *known == other)?),
        })
    }

    /// The number called so in a safetensors file.
    pub(crate) fn of_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
        Some(match dtype {
            safetensors::Dtype::F16 => Self::F16,
            safetensors::Dtype::BF16 => Self::Bf16,
            safetensors::Dtype::F32 => Self::F32,
            safetensors::Dtype::F64 => Self::F64,
            safetensors::Dtype::I64 => Self::I64,
            _ => return None,
        })
    }

    /// Bytes of one; nothing for [`Number::Other`].
    pub(crate) fn size(self) -> Option<usize> {
        match self {
            Self::F16 | Self::Bf16 => Some(2),
            Self::F32 => Some(4),
            Self::F64 | Self::I64 => Some(8),
            Self::Other(_) => None,
        }
    }

    /// Number `index` in `bytes`, if they reach so far.
    pub(crate) fn read(self, bytes: &[u8], index: usize) -> Option<f32> {
        let size = self.size()?;
        let start = index.checked_mul(size)?;
        let bytes = bytes.get(start..start.checked_add(size)?)?;
        Some(match self {
            Self::F16 => half(u16::from_le_bytes(bytes.try_into().ok()?)),
            Self::Bf16 => {
                let bits = u16::from_le_bytes(bytes.try_into().ok()?);
                f32::from_bits(u32::from(bits) << 16)
            }
            Self::F32 => f32::from_le_bytes(bytes.try_into().ok()?),
            Self::F64 => f64::from_le_bytes(bytes.try_into().ok()?) as f32,
            Self::I64 => i64::from_le_bytes(bytes.try_into().ok()?) as f32,
            Self::Other(_) => return None,
        })
    }
}

/// IEEE 754 binary16: one bit of sign, five of exponent, ten of fraction.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits) & 0x3ff;
    match exponent {
        0 => {
            // Subnormal: fraction · 2⁻²⁴, exact in f32.
            let magnitude = fraction as f32 / 16_777_216.0;
            f32::from_bits(magnitude.to_bits() | sign)
        }
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_ieee_754s() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x83ff, -6.097_555e-5),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:#06x}");
        }
        assert!(half(0x7e00).is_nan());
        assert!(half(0x8000).is_sign_negative());
    }

    #[test]
    fn every_type_reads_its_own_and_nothing_beyond_the_end() {
        let two = |bytes: &[u8], number: Number| {
            let twice = [bytes, bytes].concat();
            assert_eq!(number.read(&twice, 1), Some(-3.0), "{number:?}");
            assert_eq!(number.read(&twice, 2), None);
            assert_eq!(number.read(&twice, usize::MAX), None);
        };
        two(&0xc200_u16.to_le_bytes(), Number::F16);
        two(&0xc040_u16.to_le_bytes(), Number::Bf16);
        two(&(-3_f32).to_le_bytes(), Number::F32);
        two(&(-3_f64).to_le_bytes(), Number::F64);
        two(&(-3_i64).to_le_bytes(), Number::I64);
        assert_eq!(Number::of_storage("QUInt8Storage"), None);
        assert_eq!(
            Number::of_storage("ByteStorage"),
            Some(Number::Other("Byte"))
        );
    }
}
