//! The page on which a label emerges from noise: protocol, engine and page.

#![warn(missing_docs)]

pub mod protocol;
