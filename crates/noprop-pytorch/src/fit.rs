//! Whether tensors are those that a network has.

use std::collections::BTreeSet;

use noprop_core::weights::Tensors;

use crate::error::PytorchError;

/// Checks that `tensors` have the names and shapes of `expected`, those of `whose`.
///
/// # Errors
/// Names the first one that does not fit, in alphabetical order.
pub(crate) fn fit(tensors: &Tensors, expected: &Tensors, whose: &str) -> Result<(), PytorchError> {
    let names: BTreeSet<&String> = tensors.keys().chain(expected.keys()).collect();
    for name in names {
        let message = match (tensors.get(name), expected.get(name)) {
            (Some(found), Some(wanted)) if found.shape == wanted.shape => continue,
            (Some(found), Some(wanted)) => format!(
                "{name} has the shape {:?} in the file and {:?} in {whose}",
                found.shape, wanted.shape
            ),
            (Some(_), None) => format!("{name} is in the file and not in {whose}"),
            (None, _) => format!("{name} is in {whose} and not in the file"),
        };
        return Err(PytorchError::Mismatch(format!(
            "the weights do not fit: {message}; is it another depth, width or kind of network?"
        )));
    }
    Ok(())
}
