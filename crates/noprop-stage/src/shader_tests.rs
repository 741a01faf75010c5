//! Tests that the shaders are valid WGSL and that the host writes their buffers in the layout that the shaders read.

use naga::valid::{Capabilities, ValidationFlags, Validator};

use crate::scene::Frame;
use crate::{FIELD, WALKS};

fn module(source: &str) -> naga::Module {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    module
}

fn size(module: &naga::Module, name: &str) -> u64 {
    let of = |ty: &naga::Type| ty.name.as_deref() == Some(name);
    let (_, ty) = module.types.iter().find(|(_, ty)| of(ty)).unwrap();
    u64::from(ty.inner.size(module.to_ctx()))
}

#[test]
fn the_field_shader_is_valid_and_its_buffers_fit() {
    let module = module(FIELD);
    assert_eq!(size(&module, "Frame"), Frame::BYTES);
    assert_eq!(size(&module, "Arrow"), 16);
}

#[test]
fn the_walks_shader_is_valid_and_its_buffers_fit() {
    let module = module(WALKS);
    assert_eq!(size(&module, "Frame"), Frame::BYTES);
    assert_eq!(size(&module, "Walk"), 16);
}
