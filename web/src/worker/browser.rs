//! The worker's access to the browser: messages, clock, turns of the event loop.

use js_sys::{Array, Promise, Uint8Array};
use noprop_protocol::{Response, encode};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::DedicatedWorkerGlobalScope;

/// The worker's global object.
pub fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Sends a response, whose buffer is transferred and not copied.
pub fn post(response: &Response) {
    let Ok(bytes) = encode(response) else {
        return;
    };
    let buffer = Uint8Array::from(bytes.as_slice()).buffer();
    // Posting fails only for a value that can be neither cloned nor transferred, and a buffer can be.
    let _ = scope().post_message_with_transfer(&buffer, &Array::of1(&buffer));
}

/// Milliseconds since a fixed moment.
pub fn now() -> f64 {
    scope().performance().map_or(0.0, |clock| clock.now())
}

/// Lets the event loop turn once.
pub async fn breathe() {
    let turn = Promise::new(&mut |resolve, _| {
        // If no timer can be set, waiting for it would never end.
        if scope()
            .set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, 0)
            .is_err()
        {
            let _ = resolve.call0(&JsValue::NULL);
        }
    });
    let _ = JsFuture::from(turn).await;
}
