//! The worker that draws the stage on WebGPU. It is apart from the engine's worker, which may
//! compute for longer than a frame, and from the page, which should not carry wgpu.

mod canvas;

use std::cell::RefCell;

use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent, OffscreenCanvas};

use crate::message::{Answer, Order};
use canvas::Canvas;

thread_local! {
    static CANVAS: RefCell<Option<Canvas>> = const { RefCell::new(None) };
}

/// Starts to listen.
pub fn listen() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        post(&Answer::Failed(format!("the stage stopped: {info}")));
    }));
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(|event: MessageEvent| {
        match event.data().dyn_into::<OffscreenCanvas>() {
            Ok(canvas) => spawn_local(open(canvas)),
            Err(data) => match postcard::from_bytes(&Uint8Array::new(&data).to_vec()) {
                Ok(order) => obey(order),
                Err(_) => post(&Answer::Failed(
                    "page and stage are of different builds".into(),
                )),
            },
        }
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // It listens as long as the worker lives.
    on_message.forget();
    post(&Answer::Listening);
}

async fn open(canvas: OffscreenCanvas) {
    let lost = |message| post(&Answer::Failed(message));
    match Canvas::open(canvas, lost).await {
        Ok(opened) => {
            CANVAS.with(|canvas| *canvas.borrow_mut() = Some(opened));
            post(&Answer::Ready);
        }
        Err(message) => post(&Answer::Failed(message)),
    }
}

fn obey(order: Order) {
    CANVAS.with(|canvas| {
        let mut canvas = canvas.borrow_mut();
        let Some(canvas) = canvas.as_mut() else {
            return;
        };
        if canvas.obey(order) {
            let draw = Closure::once_into_js(draw);
            let _ = scope().request_animation_frame(draw.unchecked_ref());
        }
    });
}

fn draw() {
    let drawn = CANVAS.with(|canvas| canvas.borrow_mut().as_mut().map_or(Ok(()), Canvas::draw));
    if let Err(message) = drawn {
        post(&Answer::Failed(message));
    }
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

fn post(answer: &Answer) {
    if let Ok(bytes) = postcard::to_stdvec(answer) {
        let buffer = Uint8Array::from(bytes.as_slice()).buffer();
        let _ = scope().post_message_with_transfer(&buffer, &Array::of1(&buffer));
    }
}
