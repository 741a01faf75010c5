//! Everything that a link carries: the picture and how it is walked.

use noprop_core::SamplerKind;

use crate::protocol::{Backend, Walk};

/// Pixels of an image.
const PIXELS: usize = 28 * 28;
/// Grey levels of a drawing are multiples of this, so that a link holds it exactly.
const LEVEL: u8 = 17;
/// base64url.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picture {
    /// Bundled test image of this index.
    Test(usize),
    /// A drawing, `[28, 28]`, in 16 grey levels.
    Drawn(Vec<u8>),
}

/// What a second walk differs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// The next seed.
    Seed,
    /// A sampler.
    Sampler(SamplerKind),
}

/// The state of the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The picture.
    pub picture: Picture,
    /// How it is walked.
    pub walk: Walk,
    /// What to compare with.
    pub compare: Option<Compare>,
    /// The backend that the user insists on.
    pub backend: Option<Backend>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            picture: Picture::Test(0),
            walk: Walk {
                sampler: SamplerKind::Ddim,
                steps: 20,
                seed: 0,
                temperature: 1.0,
            },
            compare: None,
            backend: None,
        }
    }
}

/// A drawing in 16 grey levels.
pub fn quantise(pixels: &[u8]) -> Vec<u8> {
    pixels
        .iter()
        .map(|&v| (v.saturating_add(LEVEL / 2) / LEVEL).min(15) * LEVEL)
        .collect()
}

impl Settings {
    /// The second walk, when two are compared.
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

    /// The part of a link after `#`.
    pub fn to_hash(&self) -> String {
        let picture = match &self.picture {
            Picture::Test(index) => format!("image={index}"),
            Picture::Drawn(pixels) => format!("drawing={}", pack(pixels)),
        };
        let Walk {
            sampler,
            steps,
            seed,
            temperature,
        } = self.walk;
        let mut hash = format!(
            "{picture}&sampler={sampler}&steps={steps}&seed={seed}&temperature={temperature}"
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

    /// Reads what [`Self::to_hash`] wrote; what is missing or makes no sense stays as it is by default.
    pub fn from_hash(hash: &str) -> Self {
        let mut settings = Self::default();
        let walk = &mut settings.walk;
        for (key, value) in hash
            .trim_start_matches('#')
            .split('&')
            .filter_map(|pair| pair.split_once('='))
        {
            match key {
                "image" => {
                    if let Ok(index) = value.parse() {
                        settings.picture = Picture::Test(index);
                    }
                }
                "drawing" => {
                    if let Some(pixels) = unpack(value) {
                        settings.picture = Picture::Drawn(pixels);
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
        settings
    }
}

/// Three grey levels, twelve bits, in two digits.
fn pack(pixels: &[u8]) -> String {
    let mut text = String::new();
    for three in pixels.chunks(3) {
        let level = |i: usize| usize::from(three.get(i).copied().unwrap_or(0) / LEVEL);
        let bits = level(0) << 8 | level(1) << 4 | level(2);
        text.push(char::from(DIGITS[bits >> 6]));
        text.push(char::from(DIGITS[bits & 63]));
    }
    text
}

fn unpack(text: &str) -> Option<Vec<u8>> {
    let value = |byte: u8| DIGITS.iter().position(|&digit| digit == byte);
    let mut pixels = Vec::with_capacity(PIXELS + 2);
    for two in text.as_bytes().chunks(2) {
        let &[high, low] = two else { return None };
        let bits = value(high)? << 6 | value(low)?;
        pixels.extend([bits >> 8, bits >> 4 & 15, bits & 15].map(|level| level as u8 * LEVEL));
    }
    let complete = text.len() == 2 * PIXELS.div_ceil(3);
    pixels.truncate(PIXELS);
    complete.then_some(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_link_is_read_as_it_was_written(
            index in 0_usize..1000,
            drawn in proptest::option::of(proptest::collection::vec(0_u8..=255, PIXELS)),
            sampler in 0_usize..6,
            steps in 1_u32..=200,
            seed in any::<u64>(),
            temperature in 0_u32..=30,
            compare in 0_usize..8,
            backend in 0_usize..3,
        ) {
            let settings = Settings {
                picture: match drawn {
                    Some(pixels) => Picture::Drawn(quantise(&pixels)),
                    None => Picture::Test(index),
                },
                walk: Walk {
                    sampler: SamplerKind::ALL[sampler],
                    steps,
                    seed,
                    temperature: temperature as f32 * 0.05,
                },
                compare: match compare {
                    6 => Some(Compare::Seed),
                    7 => None,
                    k => Some(Compare::Sampler(SamplerKind::ALL[k])),
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
    fn quantising_keeps_what_is_quantised() {
        let all: Vec<u8> = (0..=255).collect();
        let once = quantise(&all);
        assert_eq!(quantise(&once), once);
        assert_eq!((once[0], once[255]), (0, 255));
        assert!(
            all.iter()
                .zip(&once)
                .all(|(a, b)| a.abs_diff(*b) <= LEVEL / 2 + 1)
        );
    }
}
