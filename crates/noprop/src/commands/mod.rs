//! One file a subcommand.

pub mod ablation;
pub mod bench;
pub mod check;
pub mod data;
pub mod devices;
pub mod eval;
pub mod export;
pub mod import;
pub mod merge;
pub mod predict;
pub mod reproduce;
pub mod trace;
pub mod train;
