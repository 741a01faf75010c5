//! The commands, each with its flags.

pub mod bench;
pub mod check;
pub mod data;
pub mod dump_values;
pub mod eval;
pub mod lists;
pub mod predict;
pub mod reproduce;
pub mod train;
pub mod weights;
