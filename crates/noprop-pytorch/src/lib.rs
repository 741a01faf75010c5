//! Weights that PyTorch wrote, and weights for PyTorch.
//!
//! ```text
//! .pt ─► zip ─► pickle ─┐
//! .safetensors ─────────┴► StateDict ─► layout: names of another model ─► our names ─► model
//! ```
//!
//! [`StateDict::read`] reads the tensors of a file, [`import`] makes a model of them, [`backbone_tensors`] takes
//! a backbone from them, and [`export`] writes a model under the names that PyTorch code expects. All of them work
//! on bytes; no file is opened.
//!
//! ```
//! use noprop_core::weights::{HostTensor, Tensors, serialize};
//! use noprop_pytorch::StateDict;
//!
//! // What `safetensors.torch.save({"module.fc.bias": torch.tensor([0.5, -1.0])})` returns in Python.
//! let bias = HostTensor { shape: vec![2], values: vec![0.5, -1.0] };
//! let tensors = Tensors::from([("module.fc.bias".to_owned(), bias.clone())]);
//! let bytes = serialize(&tensors, &[])?;
//!
//! let state = StateDict::read(&bytes)?;
//! // `module.` is what `DataParallel` puts before every name.
//! assert_eq!(state.tensors["fc.bias"], bias);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Files of strangers
//!
//! A `.pt` file is a pickle, which in Python may run any program. The interpreter here knows only what a dictionary of
//! tensors needs, and calls nothing. Every length in a file is checked against the bytes of the file before memory of
//! that size is taken, and a value that the pickle recalls from its memo is never copied. So reading takes at most some
//! hundred times the size of the file. The crate `pytorch-reader` 0.22 does not hold that bound: a file of 1 MB that
//! recalls a long class name 8,000 times makes it ask for more than 4 GB, as does one of 100 kB with a deflated pickle.
#![warn(missing_docs)]

mod backbone;
mod error;
pub mod layout;
mod numbers;
mod pickle;
mod pt;
mod state_dict;

pub use backbone::backbone_tensors;
pub use error::PytorchError;
pub use layout::{Imported, Layout, export, import};
pub use state_dict::StateDict;
