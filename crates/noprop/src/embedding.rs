//! Class embeddings by the names of the paper (§2.2.1), as in `--embedding dim20`.

use core::fmt;
use core::str::FromStr;

use noprop_core::embedding::{ClassEmbeddingConfig, EmbeddingInit, PrototypeSource};

/// The class embeddings of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedding {
    /// Fixed one-hot vectors.
    OneHot,
    /// Learned vectors of this dimension, orthogonal at first.
    Learned(usize),
    /// Learned vectors, each an image of its class at first.
    Prototype,
}

impl Embedding {
    /// The setting `model.class_embedding` of a recipe.
    pub fn config(self) -> ClassEmbeddingConfig {
        match self {
            Self::OneHot => ClassEmbeddingConfig::OneHot,
            Self::Learned(dim) => ClassEmbeddingConfig::Learned {
                dim: Some(dim),
                init: EmbeddingInit::Orthogonal,
            },
            Self::Prototype => ClassEmbeddingConfig::Prototype {
                source: PrototypeSource::Image,
            },
        }
    }
}
impl fmt::Display for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneHot => f.pad("one-hot"),
            Self::Learned(dim) => f.pad(&format!("dim{dim}")),
            Self::Prototype => f.pad("prototype"),
        }
    }
}

impl FromStr for Embedding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let learned = || {
            text.strip_prefix("dim")?
                .trim_start_matches('=')
                .parse()
                .ok()
        };
        match text {
            "one-hot" => Ok(Self::OneHot),
            "prototype" => Ok(Self::Prototype),
            _ => learned()
                .filter(|&dim| dim > 0)
                .map(Self::Learned)
                .ok_or_else(|| {
                    format!("{text:?} is no class embedding; expected one-hot, prototype, or dim and a dimension as in dim20")
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_printed() {
        for embedding in [
            Embedding::OneHot,
            Embedding::Learned(20),
            Embedding::Prototype,
        ] {
            assert_eq!(embedding.to_string().parse(), Ok(embedding));
        }
        assert_eq!("dim=20".parse(), Ok(Embedding::Learned(20)));
        for wrong in ["dim0", "dim", "onehot", "20"] {
            assert!(wrong.parse::<Embedding>().is_err(), "{wrong}");
        }
    }
}
