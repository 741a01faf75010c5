//! Work on several threads of the CPU. Each worker has a pool of one thread for its tensor operations, so that the
//! shards of a batch do not wait for each other inside an operation.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::TrainError;

/// Threads that share work. A single worker is the thread of the caller.
#[derive(Debug)]
pub struct Workers {
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// Starts `count` workers; 0 stands for 1.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn new(count: usize) -> Result<Self, TrainError> {
        let pool = || ThreadPoolBuilder::new().num_threads(1).build();
        let pools = if count > 1 {
            (0..count).map(|_| pool()).collect()
        } else {
            Ok(Vec::new())
        };
        Ok(Self {
            pools: pools.map_err(|e| TrainError::Workers(e.to_string()))?,
        })
    }

    /// Number of workers.
    pub fn count(&self) -> usize {
        self.pools.len().max(1)
    }

    /// Computes `work(i)` for i from 0 to n − 1, and returns the results in the order of i. Item i runs on worker i mod
    /// `count`, so that the result does not depend on timing.
    pub fn map<R: Send>(&self, n: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
        if self.pools.is_empty() || n < 2 {
            return (0..n).map(work).collect();
        }
        let count = self.pools.len();
        let mut results: Vec<Option<R>> = (0..n).map(|_| None).collect();
        std::thread::scope(|scope| {
            let mut handles = Vec::new();
            for (worker, pool) in self.pools.iter().enumerate() {
                let work = &work;
                handles.push(scope.spawn(move || {
                    let items = (worker..n).step_by(count);
                    pool.install(|| items.map(|i| (i, work(i))).collect::<Vec<_>>())
                }));
            }
            for handle in handles {
                match handle.join() {
                    Ok(items) => items
                        .into_iter()
                        .for_each(|(i, result)| results[i] = Some(result)),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        results.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        for count in [1, 2, 3] {
            let workers = Workers::new(count).unwrap();
            assert_eq!(workers.map(7, |i| i * i), [0, 1, 4, 9, 16, 25, 36]);
        }
    }
}
