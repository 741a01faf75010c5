//! The workers of the page, and the adapter that decides which of them computes.

use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use noprop_protocol::{Backend, Request, Response, decode, encode};
use serde::Serialize;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ErrorEvent, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::dom;

/// A running worker, and the listeners to its messages. Dropping it ends the worker.
pub struct WorkerHandle {
    worker: Worker,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(ErrorEvent)>,
}

impl WorkerHandle {
    /// Starts the worker `program` of `worker.js`. `receive` gets the data of its messages, or the reason why it
    /// cannot go on.
    ///
    /// # Errors
    /// When the browser starts no module workers.
    pub fn open(
        program: &str,
        receive: impl Fn(Result<JsValue, String>) + Clone + 'static,
    ) -> Result<Self, JsValue> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(&format!("worker.js?{program}"), &options)?;
        let fail = receive.clone();
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            receive(Ok(event.data()));
        });
        let on_error = Closure::<dyn FnMut(ErrorEvent)>::new(move |event: ErrorEvent| {
            fail(Err(reason(&event)));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Self {
            worker,
            _on_message: on_message,
            _on_error: on_error,
        })
    }

    /// Sends a message, whose buffer is transferred and not copied.
    pub fn send(&self, message: &impl Serialize) {
        if let Ok(bytes) = encode(message) {
            let buffer = Uint8Array::from(bytes.as_slice()).buffer();
            let _ = self
                .worker
                .post_message_with_transfer(&buffer, &Array::of1(&buffer));
        }
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.worker.terminate();
    }
}

/// The bytes of a worker's message.
pub fn bytes(data: &JsValue) -> Vec<u8> {
    Uint8Array::new(data).to_vec()
}

/// The text of a worker's error event. A script that cannot be fetched gives a plain event, which has
/// no message.
fn reason(event: &ErrorEvent) -> String {
    let message = Reflect::get(event, &dom::js("message")).ok();
    let message = message.and_then(|message| message.as_string());
    message.unwrap_or_else(|| "its script could not be fetched".into())
}

/// The worker that computes.
pub struct EngineWorker {
    handle: WorkerHandle,
    /// The backend on which it computes.
    pub backend: Backend,
    /// The reason for this backend.
    pub reason: String,
}

impl EngineWorker {
    /// Starts the worker of `backend`; `receive` gets its responses.
    ///
    /// # Errors
    /// When the browser starts no module workers.
    pub fn open(
        backend: Backend,
        reason: String,
        receive: impl Fn(Response) + Clone + 'static,
    ) -> Result<Self, String> {
        let program = match backend {
            Backend::Cpu => "worker-cpu",
            Backend::WebGpu => "worker-gpu",
        };
        let fatal = |message: String| Response::Error {
            message,
            fatal: true,
        };
        let handle = WorkerHandle::open(program, move |data| {
            receive(match data {
                Ok(data) => decode(&bytes(&data)).unwrap_or_else(|_| {
                    fatal("page and engine are of different builds; reload the page".into())
                }),
                Err(why) => fatal(format!("the engine could not be started ({why})")),
            });
        })
        .map_err(|_| "this browser starts no module workers; use a current one".to_owned())?;
        Ok(Self {
            handle,
            backend,
            reason,
        })
    }

    /// Sends a request.
    pub fn send(&self, request: &Request) {
        self.handle.send(request);
    }
}

/// The browser's WebGPU adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adapter {
    /// An adapter on a GPU, by name.
    Gpu(String),
    /// An adapter that computes on the CPU, by name: correct, and slower than our own CPU engine.
    Software(String),
    /// No adapter that the engine can use, with the reason.
    None(String),
}

/// Asks the browser for a WebGPU adapter.
pub async fn adapter() -> Adapter {
    request_adapter().await.unwrap_or_else(Adapter::None)
}

async fn request_adapter() -> Result<Adapter, String> {
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
    // Without this feature burn's stream cannot start in a page.
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
    // Browsers have moved the flag from the adapter to the adapter's description.
    let software = property(&info, "isFallbackAdapter")
        .or_else(|| property(&adapter, "isFallbackAdapter"))
        .is_some();
    Ok(if software {
        Adapter::Software(name)
    } else {
        Adapter::Gpu(name)
    })
}

/// The property `name` of `object`; `None` if it does not exist or is false.
fn property(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &dom::js(name))
        .ok()
        .filter(|value| value.is_truthy())
}
