//! The page's state, and what changes it.

mod answers;
mod backend;
mod dataset;
mod requests;
mod samples;

use super::link::Link;
use super::painter::Painter;
use super::stage::{Stage, View};
use super::{digits, dom, events, pad, panels, theme, with_app};
use crate::logic::clock::Clock;
use crate::logic::projection::Projection;
use crate::logic::settings::{Picture, Settings};
use crate::protocol::{Field, Ready, Trace, Walk};

pub use samples::Samples;

/// Noise seeds of a cloud.
const CLOUD: u32 = 64;

/// Everything that the page knows.
pub struct App {
    /// What the link says.
    pub settings: Settings,
    /// Where the walk is shown.
    pub clock: Clock,
    /// The model in use.
    pub model: Option<Ready>,
    /// From latent space to the stage.
    pub projection: Option<Projection>,
    /// The walk.
    pub trace: Option<Trace>,
    /// The walk that it is compared with.
    pub second: Option<Trace>,
    /// The velocity field, and where it was sampled, `[n, 2]` on the disc.
    pub field: Option<(Vec<[f32; 2]>, Field)>,
    /// Why WebGPU cannot be used, where it cannot.
    pub gpu_problem: Option<String>,
    link: Option<Link>,
    stage: Stage,
    painter: Option<Painter>,
    /// Whether drawing the stage on WebGPU failed; its canvas is gone then.
    painter_failed: bool,
    /// The test images of the dataset; none while they are fetched.
    samples: Option<Samples>,
    last_id: u32,
    /// Ids of the answers that are waited for.
    expected: Expected,
    /// The walk of the evaluation under way.
    evaluated: Walk,
    latencies: Vec<f64>,
    last_frame: f64,
    framing: bool,
}

#[derive(Default)]
struct Expected {
    trace: u32,
    second: u32,
    field: u32,
    accuracy: u32,
    field_pending: bool,
}

impl App {
    /// The state that the address asks for.
    pub fn new() -> Self {
        theme::label();
        let hash = dom::window().location().hash().unwrap_or_default();
        let settings = Settings::from_hash(&hash);
        Self {
            clock: Clock::new(settings.walk.steps as usize),
            evaluated: settings.walk,
            settings,
            model: None,
            projection: None,
            trace: None,
            second: None,
            field: None,
            gpu_problem: None,
            link: None,
            stage: Stage::new(),
            painter: None,
            painter_failed: false,
            samples: None,
            last_id: 0,
            expected: Expected::default(),
            latencies: Vec::new(),
            last_frame: 0.0,
            framing: false,
        }
    }

    /// Names of the classes.
    pub fn classes(&self) -> &[String] {
        self.model.as_ref().map_or(&[], |model| &model.classes)
    }

    /// The picture's pixels, `[c, h, w]` of the dataset.
    pub fn pixels(&self) -> Option<Vec<u8>> {
        match &self.settings.picture {
            Picture::Test(index) => {
                let samples = self.samples.as_ref()?;
                let index = (*index).min(samples.len().checked_sub(1)?);
                Some(samples.image(index).to_vec())
            }
            Picture::Drawn(pixels) | Picture::Own(pixels) => Some(pixels.clone()),
        }
    }

    /// The right label and its name, where they are known.
    pub fn truth(&self) -> Option<(usize, &str)> {
        match self.settings.picture {
            Picture::Test(index) => self.samples.as_ref()?.truth(index),
            Picture::Drawn(_) | Picture::Own(_) => None,
        }
    }

    /// The settings were changed: show them, keep them in the address, walk anew.
    pub fn changed(&mut self) {
        self.fit_model();
        events::show_settings(&self.settings);
        events::write_hash(&self.settings);
        self.ask_traces();
    }

    /// What the address asks for may not fit the model in use.
    fn fit_model(&mut self) {
        if let Some(model) = &self.model {
            self.settings.fit(&model.samplers, model.steps);
        }
    }

    /// Shows another picture.
    pub fn pick(&mut self, picture: Picture) {
        self.settings.picture = picture;
        self.changed();
    }

    /// What the stage shows.
    pub fn view(&mut self) -> &mut View {
        &mut self.stage.view
    }

    /// What the stage shows has changed.
    pub fn view_changed(&mut self) {
        let have = self
            .trace
            .as_ref()
            .map_or(0, |trace| trace.predictions.len());
        if self.stage.view.cloud && have < CLOUD as usize {
            self.ask_traces();
        }
        self.expected.field = 0;
        self.redraw();
    }

    /// Draws everything that depends on the step.
    pub fn redraw(&mut self) {
        self.ask_field();
        self.draw_stage();
        let (Some(trace), Some(model)) = (&self.trace, &self.model) else {
            return;
        };
        let second = self.second.as_ref();
        panels::step(
            trace,
            second,
            model,
            &self.clock,
            self.truth(),
            &self.settings,
        );
        events::show_clock(&self.clock);
    }

    pub(super) fn draw_stage(&mut self) {
        // It is told what the rest of the page holds, so it steps out of it meanwhile.
        let mut painter = self.painter.take();
        self.stage.draw(self, painter.as_mut());
        self.painter = painter;
    }

    /// Keeps frames coming while the clock runs.
    pub fn run(&mut self) {
        if self.framing || !self.clock.playing {
            return;
        }
        self.framing = true;
        self.last_frame = dom::now();
        frame();
    }

    fn on_frame(&mut self) {
        let now = dom::now();
        // After a pause of the browser the walk goes on where it was.
        let seconds = ((now - self.last_frame) / 1000.0).min(0.1);
        self.last_frame = now;
        let before = self.clock.step();
        if self.clock.tick(seconds) {
            if self.clock.step() == before {
                // Between steps only the stage and the playhead move.
                self.draw_stage();
                events::show_clock(&self.clock);
            } else {
                self.redraw();
            }
        }
        self.framing = self.clock.playing;
        if self.framing {
            frame();
        } else {
            self.redraw();
        }
    }

    /// The window has another size, or the theme changed.
    pub fn restyle(&mut self) {
        self.fill_strip();
        digits::mark(&self.settings.picture);
        if let Some(pixels) = self.pixels() {
            panels::picture(&pixels, self.settings.dataset.shape());
        }
        self.redraw();
    }

    fn fill_strip(&self) {
        if let Some(samples) = &self.samples {
            digits::fill(self.settings.dataset, samples, theme::is_light());
        }
    }

    /// The drawing pad has a picture.
    pub fn drawn(&mut self, drawing: Option<Vec<u8>>) {
        pad::preview(drawing.as_deref());
        match drawing {
            Some(pixels) => self.pick(Picture::Drawn(pixels)),
            None => {
                self.trace = None;
                self.second = None;
                self.expected.trace = 0;
                panels::nothing("draw a digit");
                self.draw_stage();
            }
        }
    }
}

fn frame() {
    dom::next_frame(|_| with_app(App::on_frame));
}
