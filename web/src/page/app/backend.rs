//! Which worker computes, and with which model.

use noprop_stage::message::Answer;
use wasm_bindgen::JsValue;

use super::super::link::{Gpu, Link};
use super::super::painter::Painter;
use super::super::{dom, events, panels, with_app};
use super::{App, Expected, Samples};
use crate::logic::projection::Projection;
use crate::logic::settings::Picture;
use crate::protocol::{Backend, Ready, Request};

impl App {
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

    pub(super) fn send_start(&self) {
        if let Some(link) = &self.link {
            let dataset = self.settings.dataset;
            link.send(&Request::Start {
                weights_url: dataset.weights().into(),
                weights_sha256: dataset.weights_sha256().into(),
                images: Some(dataset),
                reason: link.reason().into(),
            });
        }
    }

    pub(super) fn failed(&mut self, message: &str, fatal: bool) {
        self.expected.field_pending = false;
        panels::evaluation_ended();
        if fatal && self.computes_on_gpu() {
            panels::banner(&format!("{message}. The page goes on with the CPU."));
            self.gpu_problem = Some(message.into());
            self.settings.backend = None;
            self.open(Backend::Cpu, message.into());
        } else {
            if self.model.is_none() {
                panels::banner_with_retry(message);
            } else {
                panels::banner(message);
            }
            panels::loading_done();
        }
    }

    /// Starts the engine once more: the weights could not be had, or others are wanted.
    pub fn retry(&mut self) {
        let Some(link) = &self.link else { return };
        let (backend, reason) = (link.backend(), link.reason().to_owned());
        panels::banner("");
        panels::loading();
        self.open(backend, reason);
    }

    pub(super) fn ready(&mut self, mut ready: Ready) {
        panels::loading_done();
        panels::chip(&ready);
        if !ready.images.is_empty() {
            let samples = Samples {
                images: std::mem::take(&mut ready.images),
                labels: std::mem::take(&mut ready.labels),
                names: ready.classes.clone(),
                shape: ready.shape.map(|n| n as usize),
            };
            // A link may name an image that is not there.
            if let Picture::Test(index) = &mut self.settings.picture {
                *index = (*index).min(samples.len().saturating_sub(1));
            }
            panels::evaluation_of(samples.len());
            self.samples = Some(samples);
            self.fill_strip();
        }
        // The walk of another model does not fit this one's labels.
        self.trace = None;
        self.second = None;
        self.field = None;
        self.expected = Expected::default();
        panels::forget();
        self.projection = Some(Projection::new(
            &ready.embeddings,
            ready.latent_dim as usize,
            ready.one_hot,
        ));
        events::show_model(&ready);
        self.model = Some(ready);
        self.fit_model();
        self.latencies.clear();
        self.open_painter();
        events::show_settings(&self.settings);
        self.ask_traces();
    }

    /// Whether the engine is the one on WebGPU.
    pub fn computes_on_gpu(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.backend() == Backend::WebGpu)
    }

    /// Has the stage drawn on WebGPU too, once the engine computes there.
    fn open_painter(&mut self) {
        if self.computes_on_gpu() && self.painter.is_none() && !self.painter_failed {
            self.painter = Painter::open();
        }
    }

    /// An answer of the worker that draws the stage.
    pub fn painter_says(&mut self, answer: Answer) {
        match (answer, &mut self.painter) {
            (Answer::Ready, Some(painter)) => painter.ready(),
            (Answer::Failed(why), _) => {
                // The same picture on Canvas 2D: nobody needs to be told but who looks for it.
                dom::warn(&format!("the stage is drawn without WebGPU: {why}"));
                self.painter = None;
                self.painter_failed = true;
            }
            (_, None) => {}
        }
        self.redraw();
    }

    /// A picture of the worker that draws the stage.
    pub fn painter_shows(&self, bitmap: &JsValue) {
        if let Some(painter) = &self.painter {
            painter.put(bitmap);
        }
    }

    /// Uses a model of the user's own.
    pub fn load(&mut self, name: String, bytes: Vec<u8>) {
        panels::banner("");
        // An evaluation that goes on would count two models as one.
        self.cancel();
        self.send(&Request::Load { bytes, name });
    }
}
