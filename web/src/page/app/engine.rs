//! The application's conversation with the engine. Each request has an id; a response to an older request is dropped.

use noprop_protocol::{AccuracyProgress, Backend, Ready, Request, Response, Walk, Walked};

use super::App;
use crate::logic::state::CLOUD;
use crate::page::dom;
use crate::page::message::Message;
use crate::page::view::{controls, status, step};
use crate::page::workers::{Adapter, EngineWorker};

/// The number of last walks whose median time is shown.
const RECENT: usize = 20;

/// The engine's worker, and the requests whose responses are awaited.
pub struct Conversation {
    worker: Option<EngineWorker>,
    /// The reason why WebGPU cannot be used, if it cannot.
    gpu_problem: Option<String>,
    last_id: u32,
    awaited: Awaited,
    /// The walk whose accuracy is measured.
    evaluated: Walk,
    /// Milliseconds of the last walks.
    recent_ms: Vec<f64>,
}

/// Ids of the requests whose responses are awaited; 0 for none.
#[derive(Default)]
struct Awaited {
    walk: u32,
    compared: u32,
    field: u32,
    accuracy: u32,
    /// Whether a field is being computed, be it the awaited one or an older one.
    field_pending: bool,
}

impl Conversation {
    /// The conversation before there is a worker.
    pub fn new(walk: Walk) -> Self {
        Self {
            worker: None,
            gpu_problem: None,
            last_id: 0,
            awaited: Awaited::default(),
            evaluated: walk,
            recent_ms: Vec::new(),
        }
    }

    /// Whether the engine computes on WebGPU.
    pub fn computes_on_gpu(&self) -> bool {
        let worker = self.worker.as_ref();
        worker.is_some_and(|worker| worker.backend == Backend::WebGpu)
    }

    /// Stops awaiting the walk of the picture and the field around it.
    pub fn drop_walk(&mut self) {
        self.awaited.walk = 0;
        self.awaited.field = 0;
    }

    /// Stops awaiting the field, so that it can be requested again.
    pub fn drop_field(&mut self) {
        self.awaited.field = 0;
    }

    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    fn send(&self, request: &Request) {
        if let Some(worker) = &self.worker {
            worker.send(request);
        }
    }
}

impl App {
    /// Starts the engine on a GPU if the browser has one, else on the CPU. A choice of the user goes first.
    pub(super) fn choose_backend(&mut self, adapter: Adapter) {
        if let Adapter::None(why) = &adapter {
            self.engine.gpu_problem = Some(why.clone());
        }
        let (backend, reason) = match (self.state.settings.backend, adapter) {
            (Some(Backend::Cpu), _) => (Backend::Cpu, "you chose the CPU".to_owned()),
            (_, Adapter::Gpu(name)) => (
                Backend::WebGpu,
                format!("this browser offers WebGPU on {name}"),
            ),
            (Some(Backend::WebGpu), Adapter::Software(name)) => (
                Backend::WebGpu,
                format!("you chose WebGPU, on the software adapter {name}"),
            ),
            (None, Adapter::Software(name)) => (
                Backend::Cpu,
                format!("WebGPU here is {name}, a software adapter, slower than the CPU itself"),
            ),
            (_, Adapter::None(why)) => (Backend::Cpu, why),
        };
        self.open(backend, reason);
    }

    /// Switches between CPU and WebGPU.
    pub(super) fn switch_backend(&mut self) {
        let Some(worker) = &self.engine.worker else {
            return;
        };
        let (next, reason) = match (worker.backend, &self.engine.gpu_problem) {
            (Backend::WebGpu, _) => (Backend::Cpu, "you chose the CPU"),
            (Backend::Cpu, None) => (Backend::WebGpu, "you chose WebGPU"),
            (Backend::Cpu, Some(why)) => {
                status::banner(&format!("WebGPU cannot be used: {why}."));
                return;
            }
        };
        self.state.settings.backend = Some(next);
        controls::address(&self.state.settings);
        self.open(next, reason.into());
    }

    /// Starts the engine again, for example after the weights could not be fetched.
    pub(super) fn retry(&mut self) {
        let Some(worker) = &self.engine.worker else {
            return;
        };
        let (backend, reason) = (worker.backend, worker.reason.clone());
        status::banner("");
        status::loading();
        self.open(backend, reason);
    }

    /// Starts the worker of `backend` in place of the present one.
    fn open(&mut self, backend: Backend, reason: String) {
        status::backend_starts(backend);
        // The former worker's requests will not be answered.
        self.engine.awaited = Awaited::default();
        self.state.field = None;
        status::evaluation_ends();
        let emit = self.emit;
        let receive = move |response| emit(Message::Engine(response));
        match EngineWorker::open(backend, reason, receive) {
            Ok(worker) => self.engine.worker = Some(worker),
            Err(message) => status::banner(&message),
        }
    }

    /// Requests the picture's walk, with its cloud if the cloud is shown.
    pub(super) fn ask_walk(&mut self) {
        let (Some(pixels), true) = (self.state.pixels(), self.state.model.is_some()) else {
            return;
        };
        let pixels = pixels.to_vec();
        self.show_picture();
        self.state.compared = None;
        let id = self.engine.next_id();
        self.engine.awaited.walk = id;
        self.engine.send(&Request::Walk {
            id,
            pixels,
            walk: self.state.settings.walk,
            seeds: if self.state.shows_cloud { CLOUD } else { 1 },
        });
    }

    /// Requests the walk with which the first is compared.
    fn ask_compared(&mut self) {
        let (Some(pixels), Some(walk)) = (self.state.pixels(), self.state.settings.second_walk())
        else {
            return;
        };
        let id = self.engine.next_id();
        self.engine.awaited.compared = id;
        self.engine.send(&Request::Walk {
            id,
            pixels: pixels.to_vec(),
            walk,
            seeds: 1,
        });
    }

    /// Requests the field at the present step, unless another field is being computed.
    pub(super) fn ask_field(&mut self) {
        if !self.state.shows_field {
            self.state.field = None;
            return;
        }
        let awaited = &mut self.engine.awaited;
        if !awaited.field_pending
            && let Some(id) = self.state.field_id()
            && awaited.field != id
            && let Some(request) = self.state.field_request()
        {
            awaited.field = id;
            awaited.field_pending = true;
            self.engine.send(&request);
        }
    }

    /// Requests the accuracy on the test images.
    pub(super) fn evaluate(&mut self) {
        let id = self.engine.next_id();
        let walk = self.state.settings.walk;
        self.engine.awaited.accuracy = id;
        self.engine.evaluated = walk;
        status::evaluation_begins();
        self.engine.send(&Request::Accuracy { id, walk });
    }

    /// Stops classifying the test images.
    pub(super) fn cancel_evaluation(&mut self) {
        self.engine.awaited.accuracy = 0;
        self.engine.send(&Request::Cancel);
        status::evaluation_ends();
    }

    /// Uses a model of the user's own.
    pub(super) fn load_weights(&mut self, name: String, bytes: Vec<u8>) {
        status::banner("");
        // An evaluation that went on would count two models as one.
        self.cancel_evaluation();
        self.engine.send(&Request::Load { bytes, name });
    }

    /// Handles a response of the engine.
    pub(super) fn receive(&mut self, response: Response) {
        match response {
            Response::Listening => self.start_engine(),
            Response::Loading { received, total } => status::progress(received, total),
            Response::Ready(model) => self.use_model(*model),
            Response::Walk(walked) => self.use_walk(*walked),
            Response::Field(field) => {
                self.engine.awaited.field_pending = false;
                if self.state.shows_field && field.id == self.engine.awaited.field {
                    self.state.field = Some(*field);
                    self.show_step();
                }
                self.ask_field();
            }
            Response::Accuracy(progress) => self.show_accuracy(&progress),
            Response::Check(_) => {}
            Response::Error { message, fatal } => self.fail(&message, fatal),
        }
    }

    fn start_engine(&self) {
        let Some(worker) = &self.engine.worker else {
            return;
        };
        let dataset = self.state.settings.dataset;
        worker.send(&Request::Start {
            weights_url: dataset.weights().into(),
            weights_sha256: dataset.weights_sha256().into(),
            dataset: Some(dataset.name().into()),
            reason: worker.reason.clone(),
        });
    }

    fn use_model(&mut self, model: Ready) {
        status::loading_ends();
        status::backend(&model);
        step::forget();
        controls::model(&model);
        let brings_images = !model.images.is_empty();
        self.state.use_model(model);
        if brings_images && let Some(images) = &self.state.test_images {
            status::evaluation_of(images.len());
            controls::strip(Some(images));
        }
        self.engine.awaited = Awaited::default();
        self.engine.recent_ms.clear();
        if self.engine.computes_on_gpu() {
            let emit = self.emit;
            self.stage
                .open_painter(move |painted| emit(Message::Painter(painted)));
        }
        controls::settings(&self.state.settings);
        self.ask_walk();
    }

    fn use_walk(&mut self, walked: Walked) {
        if walked.id == self.engine.awaited.compared {
            self.state.compared = Some(walked);
            self.show_step();
            return;
        }
        if walked.id != self.engine.awaited.walk {
            return;
        }
        let recent = &mut self.engine.recent_ms;
        recent.push(walked.walk_ms);
        if recent.len() > RECENT {
            recent.remove(0);
        }
        status::latency(&walked, recent, self.state.model.as_ref());
        step::tally(&walked, self.state.classes());
        let steps = walked.steps();
        let still = dom::reduced_motion();
        self.state.clock.restart(steps, !still);
        if still {
            self.state.clock.seek(steps as f64);
        }
        self.state.walked = Some(walked);
        controls::range(steps);
        self.ask_compared();
        self.show_step();
        self.run_clock();
    }

    fn show_accuracy(&self, progress: &AccuracyProgress) {
        if progress.id != self.engine.awaited.accuracy {
            return;
        }
        let model = self.state.model.as_ref();
        let dataset = self.state.settings.dataset;
        let recorded = model
            .filter(|model| model.bundled && model.asks_once())
            .and_then(|_| dataset.recorded_accuracy(&self.engine.evaluated));
        status::accuracy(progress, self.state.classes(), recorded);
    }

    /// Reports a failure. After a fatal failure on WebGPU, the CPU takes over.
    fn fail(&mut self, message: &str, fatal: bool) {
        self.engine.awaited.field_pending = false;
        status::evaluation_ends();
        if fatal && self.engine.computes_on_gpu() {
            status::banner(&format!("{message}. The page goes on with the CPU."));
            self.engine.gpu_problem = Some(message.into());
            self.state.settings.backend = None;
            self.open(Backend::Cpu, message.into());
            return;
        }
        if self.state.model.is_none() {
            status::banner_with_retry(message);
        } else {
            status::banner(message);
        }
        status::loading_ends();
    }
}
