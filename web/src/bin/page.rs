//! The main thread of the page.

#[cfg(target_arch = "wasm32")]
fn main() {
    noprop_web::page::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("this program runs in a browser: build it for wasm32-unknown-unknown");
}
