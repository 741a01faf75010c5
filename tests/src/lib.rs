//! Cross-crate tests live in `tests/`; here is what they share.

use noprop_data::{DataError, Dataset, DatasetName, LoadOptions};

/// The embedded MNIST subset, with the first `test` of its test images, whatever the machine has.
///
/// # Errors
/// When the subset is damaged.
pub fn mnist_subset(test: usize) -> Result<Dataset, DataError> {
    // A folder that does not exist is an empty cache.
    let mut silent = |_| {};
    let mut options = LoadOptions::new(&mut silent);
    options.cache_dir = Some("no-cache".into());
    options.offline = true;
    let mut dataset = noprop_data::load(DatasetName::Mnist, options)?;
    dataset.test = dataset.test.take(test);
    Ok(dataset)
}
