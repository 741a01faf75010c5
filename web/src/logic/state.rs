//! The state of the page without the document: settings, model, images, walks, and what is shown of them.

use noprop_protocol::{Field, Ready, Request, Walked};

use super::clock::Clock;
use super::projection::Projection;
use super::settings::{Picture, Settings};
use super::test_images::TestImages;

/// The number of walks of a cloud: the main walk, and the walks from other noise.
pub const CLOUD: u32 = 64;
/// The number of points of the velocity field along the diameter of the disc.
pub const GRID: usize = 25;

/// Everything that the views show.
pub struct State {
    /// The settings that a link carries.
    pub settings: Settings,
    /// The position in the walk.
    pub clock: Clock,
    /// Whether the stage shows the cloud of walks from other noise.
    pub shows_cloud: bool,
    /// Whether the stage shows the velocity field.
    pub shows_field: bool,
    /// The model in use.
    pub model: Option<Ready>,
    /// The projection from the model's latent space to the stage.
    pub projection: Option<Projection>,
    /// The test images of the dataset; none while they are fetched.
    pub test_images: Option<TestImages>,
    /// The picture's walk, with its cloud.
    pub walked: Option<Walked>,
    /// The walk with which the first is compared.
    pub compared: Option<Walked>,
    /// The velocity field at [`field_points`], around a state of the walk.
    pub field: Option<Field>,
}

impl State {
    /// The state before there is a model.
    pub fn new(settings: Settings) -> Self {
        Self {
            clock: Clock::new(settings.walk.steps as usize),
            settings,
            shows_cloud: true,
            shows_field: false,
            model: None,
            projection: None,
            test_images: None,
            walked: None,
            compared: None,
            field: None,
        }
    }

    /// Names of the model's classes.
    pub fn classes(&self) -> &[String] {
        self.model.as_ref().map_or(&[], |model| &model.classes)
    }

    /// The picture's pixels, `[c, h, w]` of the dataset.
    pub fn pixels(&self) -> Option<&[u8]> {
        match &self.settings.picture {
            Picture::Test(index) => {
                let images = self.test_images.as_ref()?;
                let last = images.len().checked_sub(1)?;
                Some(images.image((*index).min(last)))
            }
            Picture::Drawn(pixels) | Picture::Photo(pixels) => Some(pixels),
        }
    }

    /// The right label of the picture and the name of this class, if they are known.
    pub fn truth(&self) -> Option<(usize, &str)> {
        match self.settings.picture {
            Picture::Test(index) => self.test_images.as_ref()?.truth(index),
            Picture::Drawn(_) | Picture::Photo(_) => None,
        }
    }

    /// The test image `by` places after the picture in the strip.
    pub fn neighbour(&self, by: i32) -> Option<usize> {
        let here = match self.settings.picture {
            Picture::Test(index) => Some(index),
            Picture::Drawn(_) | Picture::Photo(_) => None,
        };
        self.test_images.as_ref()?.neighbour(here, by)
    }

    /// Takes `model` into use. The walks of the previous model are forgotten, since they do not fit the classes of
    /// `model`.
    pub fn use_model(&mut self, mut model: Ready) {
        if !model.images.is_empty() {
            let images = TestImages::new(
                std::mem::take(&mut model.images),
                std::mem::take(&mut model.labels),
                model.classes.clone(),
                model.shape.map(|n| n as usize),
                &self.settings.dataset.mistakes(),
            );
            // A link may name an image that is not there.
            if let Picture::Test(index) = &mut self.settings.picture {
                *index = (*index).min(images.len().saturating_sub(1));
            }
            self.test_images = Some(images);
        }
        self.forget_walks();
        let dim = model.latent_dim as usize;
        self.projection = Some(Projection::new(&model.embeddings, dim, model.one_hot));
        self.model = Some(model);
        self.fit_model();
    }

    /// Makes the settings fit the model in use; a link may ask for settings that the model does not have.
    pub fn fit_model(&mut self) {
        if let Some(model) = &self.model {
            let recommended = model.recommended.map(|recommended| recommended.walk);
            self.settings.recommend(recommended);
            self.settings.fit(&model.samplers, model.steps);
        }
    }

    /// Forgets the model, the test images and the walks of the previous dataset.
    pub fn forget_dataset(&mut self) {
        self.model = None;
        self.projection = None;
        self.test_images = None;
        self.forget_walks();
    }

    /// Forgets the walks, and the field around them.
    pub fn forget_walks(&mut self) {
        self.walked = None;
        self.compared = None;
        self.field = None;
    }

    /// Whether there is a walk without the cloud that is to be shown.
    pub fn lacks_cloud(&self) -> bool {
        let walks = self.walked.as_ref();
        self.shows_cloud && walks.map_or(0, |walked| walked.predictions.len()) < CLOUD as usize
    }

    /// The id of the field around the present state of the walk; every state has an id of its own.
    pub fn field_id(&self) -> Option<u32> {
        let walked = self.walked.as_ref()?;
        Some(walked.id.wrapping_mul(1000) + self.clock.step() as u32 + 1)
    }

    /// The request for the field around the walk's present state.
    pub fn field_request(&self) -> Option<Request> {
        let (walked, projection) = (self.walked.as_ref()?, self.projection.as_ref()?);
        let step = self.clock.step();
        let d = projection.axes().len() / 2;
        let z = &walked.latents[step * d..(step + 1) * d];
        Some(Request::Field {
            id: self.field_id()?,
            pixels: self.pixels()?.to_vec(),
            t: walked.times[step],
            axes: projection.axes().to_vec(),
            origin: projection.origin_through(z),
            points: field_points()
                .flat_map(|point| projection.expand(point))
                .collect(),
        })
    }
}

/// The points on the unit disc at which the field is sampled, of a grid of [`GRID`] × [`GRID`] from the top left.
pub fn field_points() -> impl Iterator<Item = [f32; 2]> {
    let coordinate = |i: usize| 2.0 * i as f32 / (GRID - 1) as f32 - 1.0;
    (0..GRID * GRID)
        .map(move |k| [coordinate(k % GRID), coordinate(k / GRID)])
        .filter(|[x, y]| x.hypot(*y) < 1.04)
}

#[cfg(test)]
mod tests {
    use super::*;
    use noprop_core::sampler::DDIM;
    use noprop_protocol::Backend;

    /// A model of two classes with `images` bundled images of one pixel, which only DDIM walks.
    fn model(images: usize) -> Ready {
        Ready {
            backend: Backend::Cpu,
            reason: String::new(),
            classes: vec!["no".into(), "yes".into()],
            shape: [1, 1, 1],
            latent_dim: 2,
            embeddings: vec![1.0, 0.0, 0.0, 1.0],
            one_hot: true,
            parameters: 0,
            weights_from: "cache".into(),
            bundled: images > 0,
            log_snr: Vec::new(),
            is_flow: false,
            samplers: vec![DDIM],
            steps: None,
            recommended: None,
            self_test: None,
            images: (0..images).map(|i| i as u8).collect(),
            labels: vec![1; images],
            load_ms: 0.0,
            warm_up_ms: 0.0,
        }
    }

    fn walked(id: u32, seeds: usize) -> Walked {
        Walked {
            id,
            latents: vec![0.5; 2 * 3 * seeds],
            predictions: vec![0; seeds],
            times: vec![0.0, 0.5, 1.0],
            ..Walked::default()
        }
    }

    #[test]
    fn a_model_brings_its_images_and_takes_the_walks_away() {
        let mut state = State::new(Settings::from_hash("image=9&sampler=heun"));
        assert_eq!((state.pixels(), state.truth()), (None, None));
        state.walked = Some(walked(1, 1));
        state.use_model(model(3));
        assert!(state.walked.is_none() && state.projection.is_some());
        // The settings follow the model: it has three images, and only DDIM serves it.
        assert_eq!(state.settings.picture, Picture::Test(2));
        assert_eq!(state.settings.walk.sampler, DDIM);
        assert_eq!(state.pixels(), Some(&[2][..]));
        assert_eq!(state.truth(), Some((1, "yes")));
        assert_eq!(state.neighbour(1), Some(0));
        // Weights of the user's own come without images, so the images of the dataset stay.
        state.use_model(model(0));
        assert_eq!(state.pixels(), Some(&[2][..]));
    }

    #[test]
    fn a_cloud_is_lacking_where_it_is_shown_and_was_not_walked() {
        let mut state = State::new(Settings::default());
        state.walked = Some(walked(1, 1));
        assert!(state.lacks_cloud());
        state.shows_cloud = false;
        assert!(!state.lacks_cloud());
        state.shows_cloud = true;
        state.walked = Some(walked(1, CLOUD as usize));
        assert!(!state.lacks_cloud());
    }

    #[test]
    fn a_field_is_asked_for_around_the_present_state() {
        let mut state = State::new(Settings::default());
        assert_eq!(state.field_request(), None);
        state.use_model(model(1));
        state.walked = Some(walked(7, 1));
        state.clock.restart(2, false);
        state.clock.seek(1.4);
        let Some(Request::Field { id, t, points, .. }) = state.field_request() else {
            panic!("a walk has a field");
        };
        assert_eq!((id, t), (7002, 0.5));
        assert_eq!(points.len(), 2 * field_points().count());
    }
}
