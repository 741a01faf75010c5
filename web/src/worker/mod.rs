//! The worker: it listens to the page and answers one request after the other.
//!
//! Requests queue while the engine computes. A newer walk or field replaces one that waits, so that dragging a slider
//! builds no backlog. An evaluation runs in pieces, and the queue is served between two pieces.

mod browser;
mod files;
mod session;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem::discriminant;
use std::rc::Rc;

use noprop_protocol::{Backend, Request, Response, decode};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen_futures::spawn_local;
use web_sys::MessageEvent;

use session::Session;

/// The requests that wait, and whether [`work`] is serving them.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Request>,
    working: bool,
}

impl Queue {
    fn push(&mut self, request: Request) {
        if matches!(request, Request::Walk { .. } | Request::Field { .. }) {
            let kind = discriminant(&request);
            self.waiting.retain(|old| discriminant(old) != kind);
        }
        self.waiting.push_back(request);
    }
}

/// Starts to listen. `backend` is the backend that this worker was compiled for.
pub fn listen(backend: Backend) {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        browser::post(&Response::Error {
            message: format!("the engine stopped: {info}"),
            fatal: true,
        });
    }));
    let queue = Rc::new(RefCell::new(Queue::default()));
    let session = Rc::new(RefCell::new(Some(Session::new(backend))));
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let bytes = js_sys::Uint8Array::new(&event.data()).to_vec();
        match decode::<Request>(&bytes) {
            Ok(request) => queue.borrow_mut().push(request),
            Err(_) => browser::post(&Response::Error {
                message: "page and engine are of different builds; reload the page".into(),
                fatal: true,
            }),
        }
        if !queue.borrow().working {
            queue.borrow_mut().working = true;
            spawn_local(work(Rc::clone(&queue), Rc::clone(&session)));
        }
    });
    browser::scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // The worker listens as long as it lives.
    on_message.forget();
    browser::post(&Response::Listening);
}

/// Serves the queue until it is empty and no evaluation is under way.
async fn work(queue: Rc<RefCell<Queue>>, session: Rc<RefCell<Option<Session>>>) {
    // The session is taken out while it works, so that no borrow is held across an await.
    let Some(mut current) = session.borrow_mut().take() else {
        return;
    };
    loop {
        // Messages that came in while the engine computed are delivered now.
        browser::breathe().await;
        let next = queue.borrow_mut().waiting.pop_front();
        match next {
            Some(request) => current.serve(request).await,
            None if current.is_evaluating() => current.evaluate_a_piece().await,
            None => break,
        }
    }
    *session.borrow_mut() = Some(current);
    queue.borrow_mut().working = false;
}
