//! `noprop-bindgen <file.wasm> <folder>`: JavaScript and WebAssembly for `<script type="module">`.

use std::path::Path;

use anyhow::{Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, out] = arguments.as_slice() else {
        bail!("usage: noprop-bindgen <file.wasm> <folder>");
    };
    Bindgen::new()
        .input_path(input)
        .web(true)?
        .typescript(false)
        .generate(Path::new(out))
}
