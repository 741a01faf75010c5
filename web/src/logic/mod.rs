//! What the page computes without a browser: tested natively.

pub mod centring;
pub mod clock;
pub mod names;
pub mod packing;
pub mod projection;
pub mod recorded;
pub mod settings;
pub mod strip;
