//! The views. Each shows a part of the state in the document and changes nothing else.

pub mod controls;
pub mod pad;
pub mod painter;
pub mod stage;
pub mod status;
pub mod step;
pub mod theme;
