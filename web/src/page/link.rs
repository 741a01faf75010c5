//! The page's end of the line to its worker, and the choice of the worker.

use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ErrorEvent, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::dom;
use crate::protocol::{Backend, Request, Response, decode, encode};

/// A worker and what listens to it.
pub struct Link {
    worker: Worker,
    backend: Backend,
    reason: String,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(ErrorEvent)>,
}

impl Link {
    /// Starts the worker of `backend`; `receive` gets its answers.
    ///
    /// # Errors
    /// When the browser starts no workers.
    pub fn open(backend: Backend, reason: String, receive: fn(Response)) -> Result<Self, String> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let script = match backend {
            Backend::Cpu => "worker.js?worker-cpu",
            Backend::WebGpu => "worker.js?worker-gpu",
        };
        let worker = Worker::new_with_options(script, &options)
            .map_err(|_| "this browser starts no module workers; use a current one".to_owned())?;
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let bytes = Uint8Array::new(&event.data()).to_vec();
            let response = decode::<Response>(&bytes).unwrap_or_else(|_| Response::Error {
                message: "page and engine are of different builds; reload the page".into(),
                fatal: true,
            });
            receive(response);
        });
        let on_error = Closure::<dyn FnMut(ErrorEvent)>::new(move |event: ErrorEvent| {
            receive(Response::Error {
                message: format!(
                    "the engine could not be started ({})",
                    dom::worker_error(&event)
                ),
                fatal: true,
            });
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Self {
            worker,
            backend,
            reason,
            _on_message: on_message,
            _on_error: on_error,
        })
    }

    /// What it computes on.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Sends a request; its buffer moves.
    pub fn send(&self, request: &Request) {
        if let Ok(bytes) = encode(request) {
            let buffer = Uint8Array::from(bytes.as_slice()).buffer();
            let _ = self
                .worker
                .post_message_with_transfer(&buffer, &Array::of1(&buffer));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.worker.terminate();
    }
}

/// What the browser offers to compute on, beside the CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpu {
    /// A WebGPU adapter, by name.
    Adapter(String),
    /// One that runs on the CPU: correct, and slower than our own CPU engine.
    Software(String),
    /// None that the engine can use, and why.
    None(String),
}

/// Asks the browser for an adapter.
pub async fn probe() -> Gpu {
    adapter().await.unwrap_or_else(Gpu::None)
}

async fn adapter() -> Result<Gpu, String> {
    let navigator: JsValue = dom::window().navigator().into();
    let gpu = property(&navigator, "gpu").ok_or("this browser has no WebGPU")?;
    let request: Function = property(&gpu, "requestAdapter")
        .ok_or("this browser has no WebGPU")?
        .unchecked_into();
    let promise: Promise = request
        .call0(&gpu)
        .map_err(|_| "WebGPU refuses to look for an adapter")?
        .unchecked_into();
    let adapter = JsFuture::from(promise).await.unwrap_or(JsValue::NULL);
    if !adapter.is_truthy() {
        return Err("this browser has WebGPU but no adapter for it".into());
    }
    // Without it the engine's stream cannot start in a page.
    let feature = "timestamp-query";
    let has = property(&adapter, "features").and_then(|features| {
        let has: Function = property(&features, "has")?.unchecked_into();
        has.call1(&features, &dom::js(feature)).ok()
    });
    if !has.is_some_and(|has| has.is_truthy()) {
        return Err(format!(
            "the WebGPU adapter lacks {feature}, which the engine needs"
        ));
    }
    let info = property(&adapter, "info").unwrap_or(JsValue::NULL);
    let text = |name: &str| property(&info, name).and_then(|value| value.as_string());
    let name = [text("vendor"), text("architecture"), text("description")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    // The flag has moved from the adapter to its description.
    let software = property(&info, "isFallbackAdapter")
        .or_else(|| property(&adapter, "isFallbackAdapter"))
        .is_some();
    Ok(if software {
        Gpu::Software(name)
    } else {
        Gpu::Adapter(name)
    })
}

/// A property that is there and is not false.
fn property(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &dom::js(name))
        .ok()
        .filter(|value| value.is_truthy())
}
