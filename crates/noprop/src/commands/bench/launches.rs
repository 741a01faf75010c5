//! The kernels that a GPU is asked to run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cubecl::logging::{LaunchObservation, LaunchObserver};

/// Counts the kernel launches of this process, for as long as it lives. Burn's CPU backend
/// launches none.
pub struct Launches {
    counter: Arc<Counter>,
    _observation: LaunchObservation,
}

#[derive(Default)]
struct Counter(AtomicUsize);

impl LaunchObserver for Counter {
    fn launched(&self, _kernel: &'static str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Launches {
    /// Counts from here on.
    pub fn new() -> Self {
        let counter = Arc::new(Counter::default());
        Self {
            _observation: LaunchObservation::new(counter.clone()),
            counter,
        }
    }

    /// Launches so far.
    pub fn count(&self) -> usize {
        self.counter.0.load(Ordering::Relaxed)
    }
}
