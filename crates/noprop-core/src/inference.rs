//! The way in which a trained model is asked: the walk, the number of walks, and the views of an image.

use core::fmt;
use core::str::FromStr;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::WalkError;
use crate::method::Method;
use crate::sampler::{ANCESTRAL, SAMPLERS, Walk};

/// The largest temperature. With 1 a walk starts from the noise that the model was trained for.
pub const MOST_TEMPERATURE: f32 = 4.0;
/// The most steps T that a weights file may recommend.
const MOST_STEPS: usize = 10_000;
/// The most votes that a weights file may recommend.
const MOST_VOTES: usize = 10_000;

/// The way in which a trained model is asked for the class of an image. A weights file recommends one
/// ([`ModelCard::inference`](crate::weights::ModelCard::inference)).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Inference {
    /// The walk from z_0 to z_1: sampler, number of steps, seed and temperature. The temperature scales z_0
    /// alone, not the noise that ancestral sampling adds in its steps.
    pub walk: Walk,
    /// The number of walks of each image, at least 1, whose mean class probabilities decide. The walks have
    /// the seed of `walk` and the seeds after it.
    pub votes: usize,
    /// The views of each image, whose mean class probabilities decide.
    #[serde(default)]
    pub views: Views,
}

impl Inference {
    /// One walk of the image itself.
    pub fn by(walk: Walk) -> Self {
        Self {
            walk,
            votes: 1,
            views: Views::None,
        }
    }

    /// One default walk of `method`, of the image itself.
    pub fn usual(method: &Method) -> Self {
        Self::by(method.default_walk())
    }

    /// Checks that the walk suits `method`, and that its temperature is within 0 … [`MOST_TEMPERATURE`].
    ///
    /// # Errors
    /// When the walk does not suit the method, or its temperature is out of range.
    pub fn check(&self, method: &Method) -> Result<(), WalkError> {
        method.check_walk(&self.walk)?;
        check_temperature(self.walk.temperature)
    }

    /// Checks what a weights file recommends for a model of `method`. Anybody may have written the file, so
    /// numbers that would keep a computer busy for ever are refused, too.
    pub(crate) fn check_recommended(&self, method: &Method) -> Result<(), String> {
        let in_range = |what: &str, found: usize, most: usize| match (1..=most).contains(&found) {
            true => Ok(()),
            false => Err(format!(
                "it recommends {found} {what}, expected 1 to {most}"
            )),
        };
        in_range("steps", self.walk.steps, MOST_STEPS)?;
        in_range("votes", self.votes, MOST_VOTES)?;
        let suits = self.check(method);
        suits.map_err(|error| format!("its recommended walk cannot be made: {error}"))
    }
}

/// Checks that a temperature is within 0 … [`MOST_TEMPERATURE`].
///
/// # Errors
/// When it is not.
pub fn check_temperature(temperature: f32) -> Result<(), WalkError> {
    match (0.0..=MOST_TEMPERATURE).contains(&temperature) {
        true => Ok(()),
        false => Err(WalkError::Temperature(temperature.to_string())),
    }
}

/// Whether walks by `walk` end at the same z_1 for every seed: they start from the mean of the noise
/// (temperature 0), and their sampler draws no noise. Of a sampler outside of [`SAMPLERS`] nobody knows whether
/// it draws noise, so its walks count as random.
pub fn ignores_seed(walk: &Walk) -> bool {
    let draws_noise = walk.sampler == ANCESTRAL || !SAMPLERS.contains(&walk.sampler);
    walk.temperature == 0.0 && !draws_noise
}

/// Views of an image at test time. The answer is the weighted mean of the class probabilities of all views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Views {
    /// The image itself: one view.
    #[default]
    None,
    /// The image and its mirror image, left and right exchanged: two views, with equal weights.
    Flip,
    /// The image with weight ½, and the image shifted by one pixel up and left, and down and right, with
    /// weight ¼ each: three views. The edge that becomes free shows the reflected image.
    Shift,
    /// The three views of [`Self::Shift`] and their mirror images: six views.
    FlipShift,
}

impl Views {
    /// All kinds of views, in the order of help texts.
    pub const ALL: [Self; 4] = [Self::None, Self::Flip, Self::Shift, Self::FlipShift];

    /// The name in recipes and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Flip => "flip",
            Self::Shift => "shift",
            Self::FlipShift => "flip-shift",
        }
    }

    /// The number of views of an image. Features and walks are computed for each of them.
    pub const fn count(self) -> usize {
        match self {
            Self::None => 1,
            Self::Flip => 2,
            Self::Shift => 3,
            Self::FlipShift => 6,
        }
    }

    /// The views of `images` `[b, c, h, w]`, each with its weight; the first ones are the images themselves,
    /// and the weights sum to 1.
    pub fn of(self, images: Tensor<4>) -> Vec<(f64, Tensor<4>)> {
        let mirrored = |views: Vec<(f64, Tensor<4>)>| {
            let of_view = |(weight, view): (f64, Tensor<4>)| {
                let mirror = view.clone().flip([3]);
                [(weight / 2.0, view), (weight / 2.0, mirror)]
            };
            views.into_iter().flat_map(of_view).collect()
        };
        match self {
            Self::None => vec![(1.0, images)],
            Self::Flip => mirrored(vec![(1.0, images)]),
            Self::Shift => shifts(images),
            Self::FlipShift => mirrored(shifts(images)),
        }
    }
}

/// The images with weight ½, and their two diagonal shifts by one pixel with weight ¼ each.
fn shifts(images: Tensor<4>) -> Vec<(f64, Tensor<4>)> {
    let diagonal = |forward: bool| {
        let rows = shifted(images.clone(), 2, forward);
        shifted(rows, 3, forward)
    };
    let (forward, backward) = (diagonal(true), diagonal(false));
    vec![(0.5, images), (0.25, forward), (0.25, backward)]
}

/// `images` shifted by one pixel along the dimension `dim`. The free edge has the reflected image, which does
/// not repeat the pixels of the edge.
fn shifted(images: Tensor<4>, dim: usize, forward: bool) -> Tensor<4> {
    let size = images.dims()[dim];
    if size < 2 {
        return images;
    }
    let part = |from: usize, count: usize| images.clone().narrow(dim, from, count);
    let parts = match forward {
        true => vec![part(1, 1), part(0, size - 1)],
        false => vec![part(1, size - 1), part(size - 2, 1)],
    };
    Tensor::cat(parts, dim)
}

impl fmt::Display for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Views {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|views| views.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no views are called {name:?}, expected one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::sampler::{DDIM, EULER};

    /// The weight and the values of each view of one grey image of 3×3 pixels.
    fn views(views: Views) -> Vec<(f64, Vec<f32>)> {
        let pixels: Vec<f32> = (1..=9).map(|i| i as f32).collect();
        let pixels = TensorData::new(pixels, [1, 1, 3, 3]);
        let image = Tensor::from_data(pixels, &Device::flex());
        let values = |(weight, view): (f64, Tensor<4>)| {
            assert_eq!(view.dims(), [1, 1, 3, 3]);
            (weight, view.into_data().iter::<f32>().collect())
        };
        views.of(image).into_iter().map(values).collect()
    }

    #[test]
    fn views_are_mirrored_and_shifted() {
        let image = vec![1., 2., 3., 4., 5., 6., 7., 8., 9.];
        let mirror = vec![3., 2., 1., 6., 5., 4., 9., 8., 7.];
        // Down and right: the new first row and column are those at distance 1 from the edge.
        let forward = vec![5., 4., 5., 2., 1., 2., 5., 4., 5.];
        let backward = vec![5., 6., 5., 8., 9., 8., 5., 6., 5.];
        assert_eq!(views(Views::None), [(1.0, image.clone())]);
        assert_eq!(views(Views::Flip), [(0.5, image.clone()), (0.5, mirror)]);
        let expected = [(0.5, image), (0.25, forward), (0.25, backward)];
        assert_eq!(views(Views::Shift), expected);
        let both = views(Views::FlipShift);
        for (k, (weight, values)) in expected.iter().enumerate() {
            assert_eq!(both[2 * k], (weight / 2.0, values.clone()));
            let rows = values.chunks(3).flat_map(|row| row.iter().rev().copied());
            assert_eq!(both[2 * k + 1], (weight / 2.0, rows.collect()));
        }
    }

    #[test]
    fn weights_sum_to_one_and_names_are_read_back() {
        for kind in Views::ALL {
            let all = views(kind);
            assert_eq!(all.len(), kind.count());
            assert_eq!(all.iter().map(|(weight, _)| weight).sum::<f64>(), 1.0);
            assert_eq!(kind.name().parse(), Ok(kind));
            let text = serde_json::to_string(&kind).unwrap();
            assert_eq!(text, format!("\"{kind}\""));
        }
        let error = "mirror".parse::<Views>().unwrap_err();
        assert!(error.contains("flip-shift"), "{error}");
    }

    #[test]
    fn a_temperature_has_bounds() {
        let check = |temperature| {
            let walk = Walk {
                temperature,
                ..Walk::new(DDIM, 10)
            };
            Inference::by(walk).check(&Method::default())
        };
        assert!([0.0, 0.35, 1.0, 4.0].into_iter().all(|t| check(t).is_ok()));
        for temperature in [-0.1, 4.1, f32::NAN, f32::INFINITY] {
            let text = check(temperature).unwrap_err().to_string();
            assert!(text.contains("0") && text.contains("4"), "{text}");
        }
    }

    #[test]
    fn a_recommendation_has_bounds() {
        let usual = Inference::usual(&Method::default());
        let text = |inference: Inference| inference.check_recommended(&Method::default());
        assert_eq!(text(usual), Ok(()));
        for votes in [0, usize::MAX] {
            let text = text(Inference { votes, ..usual }).unwrap_err();
            assert!(text.contains("votes"), "{text}");
        }
        let walk = Walk::new(DDIM, usize::MAX);
        let error = text(Inference { walk, ..usual }).unwrap_err();
        assert!(error.contains("steps"), "{error}");
    }

    #[test]
    fn only_deterministic_walks_from_the_mean_ignore_their_seed() {
        let at = |sampler, temperature| Walk {
            temperature,
            ..Walk::new(sampler, 10)
        };
        assert!(ignores_seed(&at(DDIM, 0.0)) && ignores_seed(&at(EULER, 0.0)));
        assert!(!ignores_seed(&at(DDIM, 0.1)) && !ignores_seed(&at(ANCESTRAL, 0.0)));
        let own = crate::sampler::Sampler {
            name: "own",
            ..DDIM
        };
        assert!(!ignores_seed(&at(own, 0.0)));
    }
}
