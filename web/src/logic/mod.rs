//! The part of the page that needs no browser; native tests cover it.

pub mod clock;
pub mod pixels;
pub mod projection;
pub mod samplers;
pub mod settings;
pub mod state;
pub mod test_images;
