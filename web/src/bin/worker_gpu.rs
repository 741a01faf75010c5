//! The engine on WebGPU, as a worker.

#[cfg(target_arch = "wasm32")]
fn main() {
    noprop_web::worker::listen(noprop_protocol::Backend::WebGpu);
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("this program runs in a browser: build it for wasm32-unknown-unknown");
}
