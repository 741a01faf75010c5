//! The flip of images, and its form in a recipe.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// When left and right of a training image are swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flip {
    /// Never.
    #[default]
    Off,
    /// Each time with probability 1/2.
    Random,
    /// In every second pass over the training images, half of the images in the even and half in the odd passes
    /// (Jordan 2024, arXiv:2404.00498).
    Alternating,
}

const EXPECTED: &str = "false, true, \"random\" or \"alternating\"";

impl Serialize for Flip {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::Random => serializer.serialize_bool(true),
            Self::Alternating => serializer.serialize_str("alternating"),
        }
    }
}

impl<'de> Deserialize<'de> for Flip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Flip;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_bool<E: Error>(self, flips: bool) -> Result<Flip, E> {
                Ok(if flips { Flip::Random } else { Flip::Off })
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Flip, E> {
                match name {
                    "random" => Ok(Flip::Random),
                    "alternating" => Ok(Flip::Alternating),
                    other => Err(E::invalid_value(Unexpected::Str(other), &EXPECTED)),
                }
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

/// Whether the image at position `index` is flipped in the first pass: a hash by the mixing steps of SplitMix64
/// (Steele et al. 2014).
pub(super) fn is_first(seed: u64, index: usize) -> bool {
    let mut z = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) & 1 == 1
}
