//! The page as one of the devices of `noprop check`: it fetches the task from the command line's
//! server, runs it on each backend, and posts the numbers.

use futures_channel::mpsc;
use js_sys::Uint8Array;
use noprop_protocol::{
    Backend, CheckNumbers, CheckResult, CheckTask, Request, Response, decode, encode,
};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{RequestInit, Response as HttpResponse};

use super::dom;
use super::view::status;
use super::workers::{self, Adapter, EngineWorker};

/// Runs the task, and shows how it ended.
pub async fn run() {
    let done = "The check is complete; its numbers are with the command line.".to_owned();
    status::banner(&check().await.map_or_else(|why| why, |()| done));
    // The command line waits for an empty body, whether all went well or not.
    if let Err(why) = post(Vec::new()).await {
        status::banner(&why);
    }
}

async fn check() -> Result<(), String> {
    let bytes = fetch(CheckTask::TASK)
        .await
        .map_err(|_| "no task here; this address is for `noprop check --browser`")?;
    let task = decode::<CheckTask>(&bytes)
        .map_err(|_| "page and command line are of different builds; build the page anew")?;
    let adapter = workers::adapter().await;
    report(
        Backend::Cpu,
        "WASM".into(),
        measure(&task, Backend::Cpu).await,
    )
    .await?;
    match adapter {
        Adapter::Gpu(name) | Adapter::Software(name) => {
            report(Backend::WebGpu, name, measure(&task, Backend::WebGpu).await).await
        }
        Adapter::None(why) => report(Backend::WebGpu, String::new(), Err(why)).await,
    }
}

/// The numbers of one backend.
async fn measure(task: &CheckTask, backend: Backend) -> Result<CheckNumbers, String> {
    status::backend_starts(backend);
    let (sender, mut responses) = mpsc::unbounded();
    let worker = EngineWorker::open(backend, "noprop check".into(), move |response| {
        // Nobody listens any more once all numbers have arrived.
        let _ = sender.unbounded_send(response);
    })?;
    while let Ok(response) = responses.recv().await {
        match response {
            Response::Listening => worker.send(&Request::Start {
                weights_url: CheckTask::WEIGHTS.into(),
                weights_sha256: task.weights_sha256.clone(),
                dataset: None,
                reason: worker.reason.clone(),
            }),
            Response::Ready(_) => worker.send(&task.request),
            Response::Check(numbers) => return Ok(*numbers),
            Response::Error { message, .. } => return Err(message),
            _ => {}
        }
    }
    Err("the engine ended without numbers".into())
}

async fn report(
    backend: Backend,
    adapter: String,
    numbers: Result<CheckNumbers, String>,
) -> Result<(), String> {
    let result = CheckResult {
        backend,
        adapter,
        numbers,
    };
    post(encode(&result).map_err(|e| e.to_string())?).await
}

/// Posts a result to the command line.
async fn post(bytes: Vec<u8>) -> Result<(), String> {
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_body(&Uint8Array::from(bytes.as_slice()));
    let sent = dom::window().fetch_with_str_and_init(CheckTask::RESULT, &init);
    match JsFuture::from(sent).await {
        Ok(_) => Ok(()),
        Err(_) => Err("the command line that asked for this check has gone".into()),
    }
}

async fn fetch(url: &str) -> Result<Vec<u8>, JsValue> {
    let response = JsFuture::from(dom::window().fetch_with_str(url)).await?;
    let response: HttpResponse = response.unchecked_into();
    if !response.ok() {
        return Err(JsValue::NULL);
    }
    let buffer = JsFuture::from(response.array_buffer()?).await?;
    Ok(Uint8Array::new(&buffer).to_vec())
}
