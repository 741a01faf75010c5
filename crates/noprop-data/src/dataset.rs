//! A data set: its name, what is known about it, and where its files came from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use noprop_core::Normalization;
use serde::{Deserialize, Serialize};

use crate::catalog::{self, Published};
use crate::{DataError, Split};

/// A complete data set in memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Which one.
    pub name: DatasetName,
    /// Class names; a label is a position in this list.
    pub classes: Vec<String>,
    /// How the pixels are normalised for the model.
    pub normalization: Normalization,
    /// For training; validation is held out of it ([`crate::holdout`]).
    pub train: Split,
    /// For the final evaluation alone.
    pub test: Split,
    /// Where the files came from.
    pub source: Source,
}

/// The data sets that [`crate::load`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetName {
    /// Handwritten digits: 60,000 + 10,000 grey images of 28×28.
    Mnist,
    /// Articles of clothing: 60,000 + 10,000 grey images of 28×28.
    FashionMnist,
    /// Photographs in 10 classes: 50,000 + 10,000 RGB images of 32×32.
    Cifar10,
    /// Photographs in 100 classes: 50,000 + 10,000 RGB images of 32×32.
    Cifar100,
    /// The user's own images, a folder a class.
    Folder,
}

impl DatasetName {
    /// Every data set, in the order of help texts.
    pub const ALL: &'static [Self] = &[
        Self::Mnist,
        Self::FashionMnist,
        Self::Cifar10,
        Self::Cifar100,
        Self::Folder,
    ];

    /// What is known before its files are read; nothing of a folder of images.
    #[must_use]
    pub fn published(self) -> Option<&'static Published> {
        match self {
            Self::Mnist => Some(&catalog::MNIST),
            Self::FashionMnist => Some(&catalog::FASHION_MNIST),
            Self::Cifar10 => Some(&catalog::CIFAR10),
            Self::Cifar100 => Some(&catalog::CIFAR100),
            Self::Folder => None,
        }
    }

    /// The name on the command line and in recipes, in kebab case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.published().map_or("folder", |published| published.key)
    }
}

impl Published {
    /// Class names, as [`Dataset::classes`].
    #[must_use]
    pub fn class_names(&self) -> Vec<String> {
        self.classes.iter().map(|&class| class.to_owned()).collect()
    }

    /// The training set's statistics.
    #[must_use]
    pub fn normalization(&self) -> Normalization {
        Normalization {
            mean: self.mean.to_vec(),
            std: self.std.to_vec(),
        }
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DatasetName {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| {
                let known: Vec<_> = Self::ALL.iter().map(|known| known.as_str()).collect();
                DataError::UnknownDataset {
                    name: name.to_owned(),
                    known: format!("one of {}", known.join(", ")),
                }
            })
    }
}

/// Where the files of a data set came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The folder that the user named.
    DataRoot(PathBuf),
    /// The cache folder, filled by an earlier run.
    Cache(PathBuf),
    /// A public mirror.
    Download {
        /// The mirror that gave the last file.
        url: String,
    },
    /// `npm pack`.
    Npm {
        /// Package and version.
        package: String,
    },
    /// The small subset inside the program.
    Embedded,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataRoot(folder) => write!(f, "folder {}", folder.display()),
            Self::Cache(folder) => write!(f, "cache {}", folder.display()),
            Self::Download { url } => write!(f, "download from {url}"),
            Self::Npm { package } => write!(f, "npm package {package}"),
            Self::Embedded => f.write_str("embedded subset"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() -> Result<(), DataError> {
        for &name in DatasetName::ALL {
            assert_eq!(name.to_string().parse::<DatasetName>()?, name);
            // One spelling in recipes, on the command line and in weights.
            let text = serde_json::to_string(&name).unwrap();
            assert_eq!(text, format!("\"{name}\""));
        }
        Ok(())
    }

    #[test]
    fn statistics_are_per_channel() -> Result<(), DataError> {
        let split = Split::new(vec![0, 255, 9, 9, 255, 0, 9, 9], vec![0, 1], [2, 1, 2], 2)?;
        let Normalization { mean, std } = Normalization::of(&split);
        assert_eq!(mean, [0.5, 9.0 / 255.0]);
        assert_eq!(std, [0.5, 1.0 / 255.0]);
        Ok(())
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = "minst"
            .parse::<DatasetName>()
            .map_err(|error| error.to_string());
        assert_eq!(
            message,
            Err(
                "unknown data set \"minst\": expected one of mnist, fashion-mnist, cifar10, cifar100, folder"
                    .to_owned()
            )
        );
    }
}
