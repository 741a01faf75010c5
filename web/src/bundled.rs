//! The datasets that come with the page: for each its weights, its test images, and the results of the
//! command line on them. A further dataset is a variant here and its files in `assets`.

use noprop_core::Sampler;
use noprop_protocol::Walk;
use serde::Deserialize;

/// A dataset of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bundled {
    /// Handwritten digits, 28×28, grey.
    #[default]
    Mnist,
    /// Small photographs, 32×32, RGB.
    Cifar10,
}

/// Addresses of a dataset's test images, relative to the page; each file is raw or gzipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestFiles {
    /// Two IDX files.
    Idx {
        /// The images.
        images: &'static str,
        /// The images' labels.
        labels: &'static str,
    },
    /// One file in CIFAR-10's binary layout.
    Cifar {
        /// Images and labels.
        records: &'static str,
    },
}

impl Bundled {
    /// All datasets, in the order of the page's select.
    pub const ALL: [Self; 2] = [Self::Mnist, Self::Cifar10];

    /// The dataset's name in links and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
        }
    }

    /// The dataset of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// The dataset's name in sentences.
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

    /// Whether users draw a picture of their own; for other datasets they choose an image file.
    pub fn is_drawn(self) -> bool {
        self == Self::Mnist
    }

    /// Address of the weights, relative to the page.
    pub fn weights(self) -> &'static str {
        match self {
            Self::Mnist => "assets/mnist.safetensors",
            Self::Cifar10 => "assets/cifar10.safetensors",
        }
    }

    /// sha256 of the weights, lowercase hexadecimal.
    pub fn weights_sha256(self) -> &'static str {
        match self {
            Self::Mnist => include_str!("../../assets/mnist.safetensors.sha256"),
            Self::Cifar10 => include_str!("../../assets/cifar10.safetensors.sha256"),
        }
        .trim_ascii()
    }

    /// The addresses of the test images.
    pub fn test_files(self) -> TestFiles {
        match self {
            Self::Mnist => TestFiles::Idx {
                images: "assets/mnist-subset/t10k-images.idx.gz",
                labels: "assets/mnist-subset/t10k-labels.idx.gz",
            },
            Self::Cifar10 => TestFiles::Cifar {
                records: "assets/cifar10-subset/test_batch.bin.gz",
            },
        }
    }

    /// The indices of the test images that the weights get wrong by the walk that they recommend: DDIM, T = 10, from
    /// the mean of the noise.
    pub fn mistakes(self) -> Vec<usize> {
        self.recorded()
            .map_or_else(Vec::new, |recorded| recorded.mistakes)
    }

    /// The command line's accuracy in percent for `walk`, where it was recorded.
    pub fn recorded_accuracy(self, walk: &Walk) -> Option<f64> {
        let recorded = self.recorded()?;
        let same_noise =
            |row: &Row| walk.seed == recorded.seed && walk.temperature == row.temperature;
        let mut rows = recorded.rows.into_iter();
        rows.find(|row| same_noise(row) && row.sampler == walk.sampler && row.steps == walk.steps)
            .map(|row| row.accuracy)
    }

    /// The output of `noprop eval` for the weights on the test images; `assets/README.md` has the command.
    fn recorded(self) -> Option<Recorded> {
        let json = match self {
            Self::Mnist => include_str!("../../assets/mnist.json"),
            Self::Cifar10 => include_str!("../../assets/cifar10.json"),
        };
        serde_json::from_str(json).ok()
    }
}

/// The output of `noprop eval --json`, as far as the page uses it.
#[derive(Deserialize)]
struct Recorded {
    #[cfg(test)]
    images: f64,
    seed: u64,
    mistakes: Vec<usize>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    sampler: Sampler,
    steps: u32,
    #[serde(default = "noise")]
    temperature: f32,
    accuracy: f64,
}

/// The temperature of rows that state none.
const fn noise() -> f32 {
    1.0
}

#[cfg(test)]
mod tests {
    use noprop_core::sampler::DDIM;

    use super::*;

    const WALK: Walk = Walk {
        sampler: DDIM,
        steps: 10,
        seed: 0,
        temperature: 0.0,
    };

    #[test]
    fn names_are_distinct_and_found_again() {
        for one in Bundled::ALL {
            assert_eq!(Bundled::from_name(one.name()), Some(one));
        }
        assert_eq!(Bundled::from_name("imagenet"), None);
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

    #[test]
    fn recorded_walks_are_found_and_others_are_not() {
        for dataset in Bundled::ALL {
            let accuracy = |walk: &Walk| dataset.recorded_accuracy(walk);
            // The accuracy is far above chance, which is 10 % for both datasets.
            assert!(accuracy(&WALK).is_some_and(|percent| percent > 50.0));
            assert_eq!(accuracy(&Walk { seed: 1, ..WALK }), None);
            assert_eq!(accuracy(&Walk { steps: 41, ..WALK }), None);
            let warm = Walk {
                temperature: 1.2,
                ..WALK
            };
            assert_eq!(accuracy(&warm), None);
        }
    }

    #[test]
    fn the_mistakes_are_as_many_as_the_accuracy_says() {
        for dataset in Bundled::ALL {
            let images = dataset.recorded().map_or(0.0, |recorded| recorded.images);
            let accuracy = dataset.recorded_accuracy(&WALK);
            let wrong = accuracy.map(|percent| images * (1.0 - percent / 100.0));
            assert_eq!(
                wrong.map(|wrong| wrong.round() as usize),
                Some(dataset.mistakes().len())
            );
        }
    }
}
