//! The page on which a label emerges from noise: its engine, its workers and the page itself.

#![warn(missing_docs)]

pub mod bundled;
#[cfg(feature = "cpu")]
pub mod engine;
pub mod logic;
#[cfg(all(feature = "page", target_arch = "wasm32"))]
pub mod page;
#[cfg(all(feature = "cpu", target_arch = "wasm32"))]
pub mod worker;
