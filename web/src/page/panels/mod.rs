//! What is said beside the stage.

mod evaluation;
mod inspector;
mod status;
mod step;

pub use evaluation::{accuracy, evaluation_began, evaluation_ended, evaluation_of};
pub use status::{
    banner, banner_with_retry, chip, chip_busy, latency, loading, loading_done, progress,
};
pub use step::{forget, nothing, picture, step, tally};
