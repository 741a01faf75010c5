//! The worker that draws the stage on WebGPU. It is separate from the engine's worker, which may compute for
//! longer than a frame, and from the page, whose bundle should not contain wgpu.
//!
//! The worker draws into a texture and posts each picture (drawn frame) as an `ImageBitmap`, which the page puts on its
//! canvas. A WebGPU canvas would avoid the copy to the host, but Chromium without a GPU process loses the device of
//! such a canvas; a texture works wherever WebGPU computes.

mod canvas;

use std::cell::RefCell;

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{DedicatedWorkerGlobalScope, ImageData, MessageEvent};

use crate::message::{Answer, Order};
use canvas::Canvas;

thread_local! {
    static CANVAS: RefCell<Option<Canvas>> = const { RefCell::new(None) };
}

/// Opens a device, then listens to orders.
pub fn listen() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        post(&Answer::Failed(format!("the stage stopped: {info}")));
    }));
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(|event: MessageEvent| {
        match postcard::from_bytes(&Uint8Array::new(&event.data()).to_vec()) {
            Ok(order) => obey(order),
            Err(_) => post(&Answer::Failed(
                "page and stage are of different builds".into(),
            )),
        }
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // The closure must live as long as the worker.
    on_message.forget();
    spawn_local(async {
        match Canvas::open(|message| post(&Answer::Failed(message))).await {
            Ok(opened) => {
                CANVAS.with(|canvas| *canvas.borrow_mut() = Some(opened));
                post(&Answer::Ready);
            }
            Err(message) => post(&Answer::Failed(message)),
        }
    });
}

fn obey(order: Order) {
    with_canvas(|canvas| {
        canvas.obey(order);
        canvas.draw(drawn);
    });
}

/// Sends the picture that has arrived on the host to the page, and draws the frame that was asked for meanwhile.
fn drawn() {
    with_canvas(|canvas| {
        match canvas.picture() {
            Ok((width, pixels)) => spawn_local(async move {
                if let Err(error) = show(width, &pixels).await {
                    post(&Answer::Failed(format!("no picture: {error:?}")));
                }
            }),
            Err(message) => post(&Answer::Failed(message)),
        }
        canvas.draw(drawn);
    });
}

/// Posts `pixels`, `[height, width, 4]`, as an `ImageBitmap`.
async fn show(width: u32, pixels: &[u8]) -> Result<(), JsValue> {
    let data = ImageData::new_with_u8_clamped_array(Clamped(pixels), width)?;
    let bitmap = JsFuture::from(scope().create_image_bitmap_with_image_data(&data)?).await?;
    scope().post_message_with_transfer(&bitmap, &Array::of1(&bitmap))
}

fn with_canvas(act: impl FnOnce(&mut Canvas)) {
    CANVAS.with(|canvas| {
        if let Some(canvas) = canvas.borrow_mut().as_mut() {
            act(canvas);
        }
    });
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
