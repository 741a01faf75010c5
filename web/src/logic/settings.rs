//! The settings that a link to the page carries: the dataset, the picture and its walk.

use noprop_core::Sampler;
use noprop_core::sampler::DDIM;
use noprop_protocol::{Backend, Walk};

use super::pixels::{self, SIDE};
use crate::bundled::Bundled;

/// The picture that is classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picture {
    /// The bundled test image of this index.
    Test(usize),
    /// A drawing, `[28, 28]`, in 16 grey levels.
    Drawn(Vec<u8>),
    /// A photograph from the user's file, `[c, h, w]`.
    Photo(Vec<u8>),
}

impl Picture {
    /// Whether a model of `dataset` can be given the picture.
    fn suits(&self, dataset: Bundled) -> bool {
        let size: usize = dataset.shape().iter().product();
        match self {
            Self::Test(_) => true,
            Self::Drawn(pixels) => dataset.is_drawn() && pixels.len() == size,
            Self::Photo(pixels) => !dataset.is_drawn() && pixels.len() == size,
        }
    }
}

/// The setting in which the second walk differs from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// The second walk has the next seed.
    Seed,
    /// The second walk has this sampler.
    Sampler(Sampler),
}

/// One setting of the walk, as a control gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Setting {
    /// The sampler.
    Sampler(Sampler),
    /// The number of steps T.
    Steps(u32),
    /// The seed of z_0.
    Seed(u64),
    /// The factor on z_0.
    Temperature(f32),
    /// The comparison with a second walk, or none.
    Compare(Option<Compare>),
}

/// All settings that a link carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The dataset: test images and, unless the user brings others, weights.
    pub dataset: Bundled,
    /// The picture that is classified.
    pub picture: Picture,
    /// The walk of the picture.
    pub walk: Walk,
    /// The comparison with a second walk, if there is one.
    pub compare: Option<Compare>,
    /// The backend that the user chose, if any.
    pub backend: Option<Backend>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dataset: Bundled::default(),
            picture: Picture::Test(0),
            walk: Walk {
                sampler: DDIM,
                steps: 20,
                seed: 0,
                temperature: 1.0,
            },
            compare: None,
            backend: None,
        }
    }
}

impl Settings {
    /// Changes one setting of the walk; a number outside of its range is set to the nearest end of it.
    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Sampler(sampler) => self.walk.sampler = sampler,
            Setting::Steps(steps) => self.walk.steps = steps.clamp(1, 200),
            Setting::Seed(seed) => self.walk.seed = seed,
            Setting::Temperature(temperature) => {
                self.walk.temperature = temperature.clamp(0.0, 1.5);
            }
            Setting::Compare(compare) => self.compare = compare,
        }
    }

    /// The second walk, if two walks are compared.
    pub fn second_walk(&self) -> Option<Walk> {
        Some(match self.compare? {
            Compare::Seed => Walk {
                seed: self.walk.seed.wrapping_add(1),
                ..self.walk
            },
            Compare::Sampler(sampler) => Walk {
                sampler,
                ..self.walk
            },
        })
    }

    /// Makes the settings fit a model that is served by `samplers` only and, if `steps` is given, walks in that number
    /// of steps only.
    pub fn fit(&mut self, samplers: &[Sampler], steps: Option<u32>) {
        let walks = |kind| samplers.contains(&kind);
        if let Some(&first) = samplers.first()
            && !walks(self.walk.sampler)
        {
            self.walk.sampler = first;
        }
        self.walk.steps = steps.unwrap_or(self.walk.steps);
        if let Some(Compare::Sampler(kind)) = self.compare
            && !walks(kind)
        {
            self.compare = None;
        }
    }

    /// The settings as the part of a link after `#`.
    pub fn to_hash(&self) -> String {
        let picture = match &self.picture {
            Picture::Test(index) => format!("image={index}"),
            Picture::Drawn(pixels) => format!("drawing={}", pixels::write_drawing(pixels)),
            Picture::Photo(pixels) => format!("picture={}", pixels::write_bytes(pixels)),
        };
        let dataset = match self.dataset {
            Bundled::Mnist => String::new(),
            other => format!("dataset={}&", other.name()),
        };
        let Walk {
            sampler,
            steps,
            seed,
            temperature,
        } = self.walk;
        let mut hash = format!(
            "{dataset}{picture}&sampler={sampler}&steps={steps}&seed={seed}&temperature={temperature}"
        );
        match self.compare {
            Some(Compare::Seed) => hash += "&compare=seed",
            Some(Compare::Sampler(sampler)) => hash += &format!("&compare={sampler}"),
            None => {}
        }
        match self.backend {
            Some(Backend::Cpu) => hash += "&backend=cpu",
            Some(Backend::WebGpu) => hash += "&backend=webgpu",
            None => {}
        }
        hash
    }

    /// Reads the settings from the part of a link after `#` that [`Self::to_hash`] wrote. A setting that is missing or
    /// makes no sense has its default.
    pub fn from_hash(hash: &str) -> Self {
        let mut settings = Self::default();
        let walk = &mut settings.walk;
        for (key, value) in hash
            .trim_start_matches('#')
            .split('&')
            .filter_map(|pair| pair.split_once('='))
        {
            match key {
                "dataset" => {
                    settings.dataset = Bundled::from_name(value).unwrap_or(settings.dataset);
                }
                "image" => {
                    if let Ok(index) = value.parse() {
                        settings.picture = Picture::Test(index);
                    }
                }
                "drawing" => {
                    if let Some(pixels) = pixels::read_drawing(value, SIDE * SIDE) {
                        settings.picture = Picture::Drawn(pixels);
                    }
                }
                "picture" => {
                    if let Some(pixels) = pixels::read_bytes(value) {
                        settings.picture = Picture::Photo(pixels);
                    }
                }
                "sampler" => walk.sampler = value.parse().unwrap_or(walk.sampler),
                "steps" => {
                    let steps = value.parse().unwrap_or(walk.steps);
                    walk.steps = steps.clamp(1, 200);
                }
                "seed" => walk.seed = value.parse().unwrap_or(walk.seed),
                "temperature" => {
                    if let Ok(temperature) = value.parse::<f32>()
                        && (0.0..=1.5).contains(&temperature)
                    {
                        walk.temperature = temperature;
                    }
                }
                "compare" => {
                    settings.compare = match value {
                        "seed" => Some(Compare::Seed),
                        sampler => sampler.parse().ok().map(Compare::Sampler),
                    }
                }
                "backend" => {
                    settings.backend = match value {
                        "cpu" => Some(Backend::Cpu),
                        "webgpu" => Some(Backend::WebGpu),
                        _ => None,
                    }
                }
                _ => {}
            }
        }
        if !settings.picture.suits(settings.dataset) {
            settings.picture = Picture::Test(0);
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use noprop_core::SAMPLERS;
    use noprop_core::sampler::{ANCESTRAL, HEUN};

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_link_is_read_as_it_was_written(
            dataset in 0_usize..Bundled::ALL.len(),
            index in 0_usize..1000,
            own in proptest::option::of(proptest::collection::vec(0_u8..=255, 3 * 32 * 32)),
            sampler in 0..SAMPLERS.len(),
            steps in 1_u32..=200,
            seed in any::<u64>(),
            temperature in 0_u32..=30,
            compare in 0..SAMPLERS.len() + 2,
            backend in 0_usize..3,
        ) {
            let dataset = Bundled::ALL[dataset];
            let size: usize = dataset.shape().iter().product();
            let settings = Settings {
                dataset,
                picture: match own {
                    Some(pixels) if dataset.is_drawn() => Picture::Drawn(pixels::quantise(&pixels[..size])),
                    Some(pixels) => Picture::Photo(pixels[..size].to_vec()),
                    None => Picture::Test(index),
                },
                walk: Walk {
                    sampler: SAMPLERS[sampler],
                    steps,
                    seed,
                    temperature: temperature as f32 * 0.05,
                },
                compare: match compare {
                    0 => Some(Compare::Seed),
                    1 => None,
                    k => Some(Compare::Sampler(SAMPLERS[k - 2])),
                },
                backend: [None, Some(Backend::Cpu), Some(Backend::WebGpu)][backend],
            };
            prop_assert_eq!(Settings::from_hash(&format!("#{}", settings.to_hash())), settings);
        }

        #[test]
        fn no_link_is_too_strange(text in ".{0,200}") {
            let settings = Settings::from_hash(&text);
            prop_assert!((1..=200).contains(&settings.walk.steps));
        }
    }

    #[test]
    fn a_control_keeps_numbers_in_their_range() {
        let mut settings = Settings::default();
        for (given, kept) in [(0, 1), (40, 40), (999, 200)] {
            settings.set(Setting::Steps(given));
            assert_eq!(settings.walk.steps, kept);
        }
        for (given, kept) in [(-1.0, 0.0), (0.5, 0.5), (9.0, 1.5)] {
            settings.set(Setting::Temperature(given));
            assert_eq!(settings.walk.temperature, kept);
        }
    }

    #[test]
    fn a_picture_that_is_none_of_the_dataset_is_left_out() {
        let drawing = format!("drawing={}", pixels::write_drawing(&[0; 28 * 28]));
        let drawn = |hash: &str| Settings::from_hash(hash).picture != Picture::Test(0);
        assert!(drawn(&drawing));
        assert!(!drawn(&format!("dataset=cifar10&{drawing}")));
        // The order of the settings in a link does not matter.
        assert!(!drawn(&format!("{drawing}&dataset=cifar10")));
        let own = format!("picture={}", pixels::write_bytes(&[7; 3 * 32 * 32]));
        assert!(drawn(&format!("dataset=cifar10&{own}")));
        assert!(!drawn(&own));
        let short = format!("dataset=cifar10&picture={}", pixels::write_bytes(&[7; 12]));
        assert!(!drawn(&short));
    }

    #[test]
    fn a_model_has_its_samplers_and_perhaps_its_steps() {
        let mut settings = Settings::from_hash("sampler=heun&steps=40&compare=euler");
        settings.fit(SAMPLERS, None);
        assert_eq!((settings.walk.sampler, settings.walk.steps), (HEUN, 40));
        assert!(settings.compare.is_some());
        settings.fit(&[DDIM, ANCESTRAL], Some(10));
        assert_eq!((settings.walk.sampler, settings.walk.steps), (DDIM, 10));
        assert_eq!(settings.compare, None);
        settings.compare = Some(Compare::Seed);
        settings.fit(&[DDIM], None);
        assert_eq!(settings.compare, Some(Compare::Seed));
    }
}
