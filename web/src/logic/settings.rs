//! The settings that a link to the page carries: the dataset, the picture and its walk.

use noprop_core::Sampler;
use noprop_core::inference::MOST_TEMPERATURE;
use noprop_core::sampler::DDIM;
use noprop_protocol::{Backend, Walk};

use super::pixels::{self, SIDE};
use crate::bundled::Bundled;

/// The most steps T of a walk on the page.
const MOST_STEPS: u32 = 200;

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

/// The settings of the walk that the user chose, by a control or by a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chosen {
    /// Whether the user chose the sampler.
    pub sampler: bool,
    /// Whether the user chose T.
    pub steps: bool,
    /// Whether the user chose the temperature.
    pub temperature: bool,
}

/// The walk where neither the user nor the weights say otherwise.
const USUAL: Walk = Walk {
    sampler: DDIM,
    steps: 20,
    seed: 0,
    temperature: 1.0,
};

/// All settings that a link carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The dataset: test images and, unless the user brings others, weights.
    pub dataset: Bundled,
    /// The picture that is classified.
    pub picture: Picture,
    /// The walk of the picture.
    pub walk: Walk,
    /// The settings of the walk that the user chose. The others follow the weights' recommendation.
    pub chosen: Chosen,
    /// The comparison with a second walk, where there is one.
    pub compare: Option<Compare>,
    /// The backend that the user chose, if any.
    pub backend: Option<Backend>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dataset: Bundled::default(),
            picture: Picture::Test(0),
            walk: USUAL,
            chosen: Chosen::default(),
            compare: None,
            backend: None,
        }
    }
}

impl Settings {
    /// Changes one setting of the walk; a number outside of its range is set to the nearest end of it.
    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Sampler(sampler) => {
                self.walk.sampler = sampler;
                self.chosen.sampler = true;
            }
            Setting::Steps(steps) => {
                self.walk.steps = steps.clamp(1, MOST_STEPS);
                self.chosen.steps = true;
            }
            Setting::Seed(seed) => self.walk.seed = seed,
            Setting::Temperature(temperature) => {
                self.walk.temperature = temperature.clamp(0.0, MOST_TEMPERATURE);
                self.chosen.temperature = true;
            }
            Setting::Compare(compare) => self.compare = compare,
        }
    }

    /// Takes what the user did not choose from the walk that the weights recommend, or from the usual walk where
    /// they recommend none.
    pub fn recommend(&mut self, recommended: Option<Walk>) {
        let walk = recommended.unwrap_or(USUAL);
        if !self.chosen.sampler {
            self.walk.sampler = walk.sampler;
        }
        if !self.chosen.steps {
            self.walk.steps = walk.steps.clamp(1, MOST_STEPS);
        }
        if !self.chosen.temperature {
            self.walk.temperature = walk.temperature;
        }
    }

    /// The second walk, when two walks are compared.
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

    /// The settings as the part of a link after `#`, without those of the walk that the user did not choose.
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
        let mut hash = format!("{dataset}{picture}&seed={seed}");
        if self.chosen.sampler {
            hash += &format!("&sampler={sampler}");
        }
        if self.chosen.steps {
            hash += &format!("&steps={steps}");
        }
        if self.chosen.temperature {
            hash += &format!("&temperature={temperature}");
        }
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
        let (walk, chosen) = (&mut settings.walk, &mut settings.chosen);
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
                "sampler" => {
                    if let Ok(sampler) = value.parse() {
                        (walk.sampler, chosen.sampler) = (sampler, true);
                    }
                }
                "steps" => {
                    if let Ok(steps) = value.parse::<u32>() {
                        (walk.steps, chosen.steps) = (steps.clamp(1, MOST_STEPS), true);
                    }
                }
                "seed" => walk.seed = value.parse().unwrap_or(walk.seed),
                "temperature" => {
                    if let Ok(temperature) = value.parse::<f32>()
                        && (0.0..=MOST_TEMPERATURE).contains(&temperature)
                    {
                        (walk.temperature, chosen.temperature) = (temperature, true);
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
mod tests;
