//! Weights that PyTorch wrote, and weights for it.
//!
//! ```text
//! .pt ─► zip ─► pickle ─┐
//! .safetensors ─────────┴► StateDict ─► layout: names of another model ─► our names ─► model
//! ```
//!
//! A `.pt` file is a pickle, which in Python may run any program. The interpreter here knows only
//! what a dictionary of tensors needs, builds numbers and text, and calls nothing. Whatever a file
//! claims about lengths is checked against its bytes before anything of that size is made.
//!
//! Nothing here touches files: it reads and writes bytes.
#![warn(missing_docs)]

mod backbone;
mod error;
mod fit;
pub mod layout;
mod number;
mod pickle;
mod state_dict;
mod torch;
mod zip;

pub use backbone::backbone_tensors;
pub use error::PytorchError;
pub use layout::{Imported, Layout, export, import};
pub use state_dict::StateDict;
