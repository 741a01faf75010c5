//! The datasets that come with the page: for each its weights, its test images, and what the command
//! line gave for them. Another one is an arm here, and its files in `assets`.

use serde::{Deserialize, Serialize};

/// A dataset of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bundled {
    /// Handwritten digits, 28×28, grey.
    #[default]
    Mnist,
    /// Small photographs, 32×32, RGB.
    Cifar10,
}

/// The files of a dataset's test images, each raw or gzipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestImages {
    /// Two IDX files.
    Idx {
        /// Address of the images.
        images: &'static str,
        /// Address of their labels.
        labels: &'static str,
    },
    /// One file in CIFAR-10's binary layout.
    Cifar {
        /// Its address.
        records: &'static str,
    },
}

impl Bundled {
    /// All, in the order of the page's choice.
    pub const ALL: [Self; 2] = [Self::Mnist, Self::Cifar10];

    /// Its name in links.
    pub fn key(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
        }
    }

    /// The dataset of this name.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.key() == key)
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Mnist => "MNIST",
            Self::Cifar10 => "CIFAR-10",
        }
    }

    /// Shape of an image: channels, height, width.
    pub fn shape(self) -> [usize; 3] {
        match self {
            Self::Mnist => [1, 28, 28],
            Self::Cifar10 => [3, 32, 32],
        }
    }

    /// Whether a picture of it can be drawn with a pen; otherwise a file is chosen.
    pub fn is_drawn(self) -> bool {
        self == Self::Mnist
    }

    /// Address of its weights, relative to the page.
    pub fn weights(self) -> &'static str {
        match self {
            Self::Mnist => "assets/mnist.safetensors",
            Self::Cifar10 => "assets/cifar10.safetensors",
        }
    }

    /// sha256 of its weights, lowercase hexadecimal.
    pub fn weights_sha256(self) -> &'static str {
        match self {
            Self::Mnist => include_str!("../../assets/mnist.safetensors.sha256"),
            Self::Cifar10 => include_str!("../../assets/cifar10.safetensors.sha256"),
        }
        .trim_ascii()
    }

    /// Its test images.
    pub fn test_images(self) -> TestImages {
        match self {
            Self::Mnist => TestImages::Idx {
                images: "assets/mnist-subset/t10k-images.idx.gz",
                labels: "assets/mnist-subset/t10k-labels.idx.gz",
            },
            Self::Cifar10 => TestImages::Cifar {
                records: "assets/cifar10-subset/test_batch.bin.gz",
            },
        }
    }

    /// What `noprop eval` gave for its weights on its test images; `assets/README.md` has the command.
    pub fn recorded(self) -> &'static str {
        match self {
            Self::Mnist => include_str!("../../assets/mnist.json"),
            Self::Cifar10 => include_str!("../../assets/cifar10.json"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_distinct_and_found_again() {
        for one in Bundled::ALL {
            assert_eq!(Bundled::from_key(one.key()), Some(one));
        }
        assert_eq!(Bundled::from_key("imagenet"), None);
        assert_eq!(Bundled::ALL[0], Bundled::default());
    }

    #[test]
    fn checksums_are_of_the_weights() {
        use sha2::{Digest, Sha256};
        for one in Bundled::ALL {
            let path = format!("{}/../{}", env!("CARGO_MANIFEST_DIR"), one.weights());
            let digest = Sha256::digest(std::fs::read(&path).expect(&path));
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, one.weights_sha256(), "{path}");
        }
    }
}
