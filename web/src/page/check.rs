//! The page as one of the devices of `noprop check`: it fetches the task from the command line's
//! server, runs it on each backend, and posts the numbers.

use std::cell::RefCell;

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{RequestInit, Response as HttpResponse};

use super::link::{Gpu, Link, probe};
use super::{dom, panels};
use crate::protocol::{Backend, CheckResult, CheckTask, Request, Response, decode, encode};

struct Check {
    task: CheckTask,
    /// Backends to do, with the adapter's name; the last one first.
    left: Vec<(Backend, String)>,
    link: Option<Link>,
    adapter: String,
}

thread_local! {
    static CHECK: RefCell<Option<Check>> = const { RefCell::new(None) };
}

/// Runs the task.
pub fn start() {
    spawn_local(async {
        if let Err(message) = prepare().await {
            panels::banner(&message);
            post(Vec::new());
        }
    });
}

async fn prepare() -> Result<(), String> {
    let bytes = fetch(CheckTask::TASK)
        .await
        .map_err(|_| "no task here; this address is for `noprop check --browser`")?;
    let task = decode::<CheckTask>(&bytes)
        .map_err(|_| "page and command line are of different builds; build the page anew")?;
    let mut left = vec![(Backend::Cpu, "WASM".to_owned())];
    match probe().await {
        Gpu::Adapter(name) | Gpu::Software(name) => left.insert(0, (Backend::WebGpu, name)),
        Gpu::None(why) => report(Backend::WebGpu, String::new(), Err(why)),
    }
    CHECK.with(|cell| {
        *cell.borrow_mut() = Some(Check {
            task,
            left,
            link: None,
            adapter: String::new(),
        });
    });
    next();
    Ok(())
}

/// Starts the next backend, or says that all are done.
fn next() {
    CHECK.with(|cell| {
        let mut cell = cell.borrow_mut();
        let Some(check) = cell.as_mut() else { return };
        let Some((backend, adapter)) = check.left.pop() else {
            check.link = None;
            panels::banner("The check is complete; its numbers are with the command line.");
            post(Vec::new());
            return;
        };
        panels::chip_busy(backend);
        check.adapter = adapter;
        match Link::open(backend, "noprop check".into(), receive) {
            Ok(link) => check.link = Some(link),
            Err(message) => report(backend, check.adapter.clone(), Err(message)),
        }
    });
}

fn receive(response: Response) {
    let finished = CHECK.with(|cell| {
        let cell = cell.borrow();
        let Some(Check {
            task,
            link: Some(link),
            adapter,
            ..
        }) = cell.as_ref()
        else {
            return false;
        };
        match response {
            Response::Listening => {
                link.send(&Request::Start {
                    weights_url: CheckTask::WEIGHTS.into(),
                    weights_sha256: task.weights_sha256.clone(),
                    images: None,
                    reason: link.reason().into(),
                });
                false
            }
            Response::Ready(_) => {
                link.send(&task.request);
                false
            }
            Response::Check(numbers) => {
                report(link.backend(), adapter.clone(), Ok(*numbers));
                true
            }
            Response::Error { message, .. } => {
                report(link.backend(), adapter.clone(), Err(message));
                true
            }
            _ => false,
        }
    });
    if finished {
        next();
    }
}

fn report(
    backend: Backend,
    adapter: String,
    numbers: Result<crate::protocol::CheckNumbers, String>,
) {
    let result = CheckResult {
        backend,
        adapter,
        numbers,
    };
    if let Ok(bytes) = encode(&result) {
        post(bytes);
    }
}

/// Posts to the command line, in order: each waits for those before.
fn post(bytes: Vec<u8>) {
    thread_local! {
        static OUTBOX: RefCell<(Vec<Vec<u8>>, bool)> = const { RefCell::new((Vec::new(), false)) };
    }
    let idle = OUTBOX.with(|outbox| {
        let mut outbox = outbox.borrow_mut();
        outbox.0.push(bytes);
        !std::mem::replace(&mut outbox.1, true)
    });
    if !idle {
        return;
    }
    spawn_local(async {
        while let Some(bytes) = OUTBOX.with(|outbox| {
            let mut outbox = outbox.borrow_mut();
            let next = (!outbox.0.is_empty()).then(|| outbox.0.remove(0));
            outbox.1 = next.is_some();
            next
        }) {
            let init = RequestInit::new();
            init.set_method("POST");
            init.set_body(&Uint8Array::from(bytes.as_slice()));
            let sent = dom::window().fetch_with_str_and_init(CheckTask::RESULT, &init);
            if JsFuture::from(sent).await.is_err() {
                panels::banner("the command line that asked for this check has gone");
            }
        }
    });
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
