//! The page's state, and what changes it.

use super::link::{Gpu, Link};
use super::stage::{Stage, View};
use super::{digits, dom, events, pad, panels, theme, with_app};
use crate::logic::clock::Clock;
use crate::logic::projection::Projection;
use crate::logic::recorded;
use crate::logic::settings::{Picture, Settings};
use crate::protocol::{Backend, Field, Ready, Request, Response, Trace, Walk};

/// Weights that come with the page, and what they must be.
const WEIGHTS: &str = "assets/mnist.safetensors";
const WEIGHTS_SHA256: &str = include_str!("../../../assets/mnist.safetensors.sha256");

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
    images: Vec<u8>,
    labels: Vec<u8>,
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
        theme::restore();
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
            images: Vec::new(),
            labels: Vec::new(),
            last_id: 0,
            expected: Expected::default(),
            latencies: Vec::new(),
            last_frame: 0.0,
            framing: false,
        }
    }

    /// Takes WebGPU where it is faster, else the CPU; the user's choice goes first.
    pub fn choose_backend(&mut self, gpu: Gpu) {
        let asked = self.settings.backend;
        let (backend, reason) = match (asked, gpu) {
            (Some(Backend::Cpu), gpu) => {
                if let Gpu::None(why) = gpu {
                    self.gpu_problem = Some(why);
                }
                (Backend::Cpu, "you chose the CPU".to_owned())
            }
            (_, Gpu::Adapter(name)) => (
                Backend::WebGpu,
                format!("this browser offers WebGPU on {name}"),
            ),
            (Some(Backend::WebGpu), Gpu::Software(name)) => (
                Backend::WebGpu,
                format!("you chose WebGPU, on the software adapter {name}"),
            ),
            (None, Gpu::Software(name)) => (
                Backend::Cpu,
                format!("WebGPU here is {name}, a software adapter, slower than the CPU itself"),
            ),
            (_, Gpu::None(why)) => {
                self.gpu_problem = Some(why.clone());
                (Backend::Cpu, why)
            }
        };
        self.open(backend, reason);
    }

    /// Starts the worker of `backend`, instead of the one there is.
    pub fn open(&mut self, backend: Backend, reason: String) {
        panels::chip_busy(backend);
        // What the former worker was asked will not be answered.
        self.expected = Expected::default();
        self.field = None;
        panels::evaluation_ended();
        let receive = |response| with_app(|app| app.receive(response));
        match Link::open(backend, reason, receive) {
            Ok(link) => self.link = Some(link),
            Err(message) => panels::banner(&message),
        }
    }

    /// Switches between CPU and WebGPU.
    pub fn switch_backend(&mut self) {
        let Some(link) = &self.link else { return };
        let (next, reason) = match link.backend() {
            Backend::WebGpu => (Backend::Cpu, "you chose the CPU"),
            Backend::Cpu => match &self.gpu_problem {
                Some(why) => {
                    panels::banner(&format!("WebGPU cannot be used: {why}."));
                    return;
                }
                None => (Backend::WebGpu, "you chose WebGPU"),
            },
        };
        self.settings.backend = Some(next);
        events::write_hash(&self.settings);
        self.open(next, reason.into());
    }

    /// An answer of the worker.
    pub fn receive(&mut self, response: Response) {
        match response {
            Response::Listening => self.send_start(),
            Response::Loading { received, total } => panels::progress(received, total),
            Response::Ready(ready) => self.ready(*ready),
            Response::Trace(trace) => self.traced(*trace),
            Response::Field(field) => {
                self.expected.field_pending = false;
                if field.id == self.expected.field
                    && let Some((_, shown)) = &mut self.field
                {
                    *shown = field.as_ref().clone();
                    self.redraw();
                }
                self.ask_field();
            }
            Response::Accuracy(progress) => {
                if progress.id == self.expected.accuracy {
                    let own = self.model.as_ref().is_some_and(|model| model.bundled);
                    let recorded = own.then(|| recorded::accuracy(&self.evaluated)).flatten();
                    panels::accuracy(&progress, self.classes(), recorded);
                }
            }
            Response::Check(_) => {}
            Response::Error { message, fatal } => self.failed(&message, fatal),
        }
    }

    fn send_start(&self) {
        if let Some(link) = &self.link {
            link.send(&Request::Start {
                weights_url: WEIGHTS.into(),
                weights_sha256: WEIGHTS_SHA256
                    .split_whitespace()
                    .next()
                    .unwrap_or("")
                    .into(),
                reason: link.reason().into(),
            });
        }
    }

    fn failed(&mut self, message: &str, fatal: bool) {
        self.expected.field_pending = false;
        panels::evaluation_ended();
        let on_gpu = self
            .link
            .as_ref()
            .is_some_and(|link| link.backend() == Backend::WebGpu);
        if fatal && on_gpu {
            panels::banner(&format!("{message}. The page goes on with the CPU."));
            self.gpu_problem = Some(message.into());
            self.settings.backend = None;
            self.open(Backend::Cpu, message.into());
        } else {
            panels::banner(message);
            panels::loading_done();
        }
    }

    fn ready(&mut self, ready: Ready) {
        panels::loading_done();
        panels::chip(&ready);
        if !ready.images.is_empty() {
            self.images.clone_from(&ready.images);
            self.labels.clone_from(&ready.labels);
            // A link may name an image that is not there.
            if let Picture::Test(index) = &mut self.settings.picture {
                *index = (*index).min(self.labels.len().saturating_sub(1));
            }
            digits::fill(&self.images, &self.labels, theme::is_light());
        }
        self.projection = Some(Projection::new(
            &ready.embeddings,
            ready.latent_dim as usize,
            ready.one_hot,
        ));
        self.model = Some(ready);
        self.latencies.clear();
        events::show_settings(&self.settings);
        self.ask_traces();
    }

    /// Names of the classes.
    pub fn classes(&self) -> &[String] {
        self.model.as_ref().map_or(&[], |model| &model.classes)
    }

    /// The picture's pixels, `[28, 28]`.
    pub fn pixels(&self) -> Option<Vec<u8>> {
        match &self.settings.picture {
            Picture::Test(index) => {
                let count = self.labels.len();
                let index = (*index).min(count.checked_sub(1)?);
                Some(self.images[index * 784..(index + 1) * 784].to_vec())
            }
            Picture::Drawn(pixels) => Some(pixels.clone()),
        }
    }

    /// The right label, where it is known.
    pub fn truth(&self) -> Option<usize> {
        match self.settings.picture {
            Picture::Test(index) => self.labels.get(index).map(|&label| usize::from(label)),
            Picture::Drawn(_) => None,
        }
    }

    /// The settings were changed: show them, keep them in the address, walk anew.
    pub fn changed(&mut self) {
        events::show_settings(&self.settings);
        events::write_hash(&self.settings);
        self.ask_traces();
    }

    /// Shows another picture.
    pub fn pick(&mut self, picture: Picture) {
        self.settings.picture = picture;
        self.changed();
    }

    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    fn ask_traces(&mut self) {
        let (Some(pixels), true) = (self.pixels(), self.model.is_some()) else {
            return;
        };
        panels::picture(&pixels);
        digits::mark(&self.settings.picture);
        let id = self.next_id();
        self.expected.trace = id;
        self.second = None;
        let seeds = if self.stage.view.cloud { CLOUD } else { 1 };
        self.send(&Request::Trace {
            id,
            pixels,
            walk: self.settings.walk,
            seeds,
        });
    }

    fn ask_second(&mut self) {
        let (Some(pixels), Some(walk)) = (self.pixels(), self.settings.second_walk()) else {
            return;
        };
        let id = self.next_id();
        self.expected.second = id;
        self.send(&Request::Trace {
            id,
            pixels,
            walk,
            seeds: 1,
        });
    }

    /// Asks for the field at the present step, one at a time.
    fn ask_field(&mut self) {
        if !self.stage.view.field {
            self.field = None;
            return;
        }
        let step = self.clock.step();
        let (Some(trace), Some(projection), Some(pixels)) =
            (&self.trace, &self.projection, self.pixels())
        else {
            return;
        };
        // An id for each state that a field belongs to: asking twice for one is idle.
        let wanted = trace.id.wrapping_mul(1000) + step as u32 + 1;
        if self.expected.field_pending || self.expected.field == wanted {
            return;
        }
        let d = projection.axes().len() / 2;
        let z = &trace.latents[step * d..(step + 1) * d];
        let disc = self.stage.field_points();
        let points = disc.iter().flat_map(|&p| projection.expand(p)).collect();
        let request = Request::Field {
            id: wanted,
            pixels,
            t: trace.times[step],
            axes: projection.axes().to_vec(),
            origin: projection.origin_through(z),
            points,
        };
        let empty = Field {
            id: wanted,
            velocity: Vec::new(),
            belief: Vec::new(),
        };
        if self.field.is_none() {
            self.field = Some((disc, empty));
        }
        self.expected.field = wanted;
        self.expected.field_pending = true;
        self.send(&request);
    }

    fn send(&self, request: &Request) {
        if let Some(link) = &self.link {
            link.send(request);
        }
    }

    fn traced(&mut self, trace: Trace) {
        if trace.id == self.expected.second {
            self.second = Some(trace);
            self.redraw();
            return;
        }
        if trace.id != self.expected.trace {
            return;
        }
        self.latencies.push(trace.walk_ms);
        if self.latencies.len() > 20 {
            self.latencies.remove(0);
        }
        let steps = trace.times.len() - 1;
        panels::latency(&trace, &self.latencies, self.model.as_ref());
        panels::tally(&trace, self.classes());
        let still = dom::reduced_motion();
        self.clock.restart(steps, !still);
        if still {
            self.clock.seek(steps as f64);
        }
        self.trace = Some(trace);
        events::show_range(steps);
        self.ask_second();
        self.redraw();
        self.run();
    }

    /// Uses a model of the user's own.
    pub fn load(&mut self, name: String, bytes: Vec<u8>) {
        panels::banner("");
        // An evaluation that goes on would count two models as one.
        self.cancel();
        self.send(&Request::Load { bytes, name });
    }

    /// Classifies the test images.
    pub fn evaluate(&mut self) {
        let id = self.next_id();
        self.expected.accuracy = id;
        self.evaluated = self.settings.walk;
        panels::evaluation_began();
        self.send(&Request::Accuracy {
            id,
            walk: self.settings.walk,
        });
    }

    /// Stops that.
    pub fn cancel(&mut self) {
        self.expected.accuracy = 0;
        self.send(&Request::Cancel);
        panels::evaluation_ended();
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
        self.stage.draw(self);
        let (Some(trace), Some(model)) = (&self.trace, &self.model) else {
            return;
        };
        panels::step(trace, model, &self.clock, self.truth(), &self.settings);
        panels::strip(trace, &model.classes, self.clock.step());
        events::show_clock(&self.clock);
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
        if self.clock.tick(seconds) {
            self.redraw();
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
        digits::fill(&self.images, &self.labels, theme::is_light());
        digits::mark(&self.settings.picture);
        if let Some(pixels) = self.pixels() {
            panels::picture(&pixels);
        }
        self.redraw();
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
                panels::nothing();
                self.stage.draw(self);
            }
        }
    }
}

fn frame() {
    dom::next_frame(|_| with_app(App::on_frame));
}
