//! The messages' layout in bytes, and its description for the end-to-end tests.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use noprop_core::sampler::{DDIM, HEUN, REFERENCE_HEUN};
use noprop_core::{Sampler, Views};
use noprop_protocol::{Backend, Request, Response, Walk, decode, encode};
use serde_reflection::{Tracer, TracerConfig};

fn walk(sampler: Sampler) -> Walk {
    Walk {
        sampler,
        steps: 40,
        seed: u64::MAX,
        temperature: 0.5,
    }
}

#[test]
fn messages_survive_the_trip() {
    let request = Request::Walk {
        id: 7,
        pixels: vec![0, 255, 3],
        walk: walk(REFERENCE_HEUN),
        seeds: 64,
    };
    let bytes = encode(&request).unwrap();
    assert_eq!(decode::<Request>(&bytes), Ok(request));
    assert!(decode::<Request>(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn a_sampler_travels_as_its_name() {
    let bytes = encode(&walk(HEUN)).unwrap();
    assert_eq!(bytes[..5], *b"\x04heun");
    let unknown = [b"\x04hoin", &bytes[5..]].concat();
    assert!(decode::<Walk>(&unknown).is_err());
}

/// The layout of every message: a line for each type, with its fields in their order or its variants.
fn layout() -> Result<String, Box<dyn Error>> {
    // The tracer reads this name wherever a message has one.
    let name = DDIM.to_string();
    let mut tracer = Tracer::new(TracerConfig::default().default_string_value(name));
    tracer.trace_simple_type::<Backend>()?;
    tracer.trace_simple_type::<Views>()?;
    tracer.trace_simple_type::<Request>()?;
    tracer.trace_simple_type::<Response>()?;
    let mut lines = Vec::new();
    for (name, format) in tracer.registry()? {
        lines.push(format!("\"{name}\": {}", serde_json::to_string(&format)?));
    }
    Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
}

fn description() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/protocol.json")
}

#[test]
fn the_end_to_end_tests_know_the_layout() {
    assert_eq!(
        fs::read_to_string(description()).unwrap(),
        layout().unwrap(),
        "the messages changed; write tests/e2e/protocol.json anew with \
         `cargo test --release --workspace --test layout -- --ignored`"
    );
}

#[test]
#[ignore = "writes tests/e2e/protocol.json"]
fn write_the_layout() {
    fs::write(description(), layout().unwrap()).unwrap();
}
