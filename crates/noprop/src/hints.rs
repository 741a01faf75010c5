//! Hints: the nearest known word for an unknown one, and flags of the command line for the errors of
//! libraries, which know of no flags.

use anyhow::Error;
use noprop_data::{DataError, FolderError};

/// The word of `known` that is nearest to `word`; `None` if none is near.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(4) / 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The hint for an error, or for the error in the chain of its causes that has one.
pub fn of(error: &Error) -> Option<&'static str> {
    let mut causes = error.chain();
    causes.find_map(|cause| data(cause.downcast_ref()?))
}

/// The hint for an error about data.
fn data(error: &DataError) -> Option<&'static str> {
    match error.problem() {
        DataError::Unofficial { .. } | DataError::Incomplete { .. } => {
            Some("--allow-unverified takes files in --data-root that are not the official ones")
        }
        DataError::Unavailable { offline: true, .. } => Some(
            "without --offline the files are downloaded; --data-root names a folder that holds them",
        ),
        DataError::Unavailable { .. } => Some("--data-root names a folder that holds the files"),
        DataError::Folder(FolderError::Holdout { .. } | FolderError::NoneLeft { .. }) => {
            Some("--holdout sets the share that is held out, 0.1 by default")
        }
        DataError::Channels { .. } => Some("--channels takes 1 or 3"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_is_found_behind_its_context_and_its_place() {
        let share = FolderError::Holdout { found: 2.0 };
        let error: Result<(), _> = Err(DataError::from(share).at("photos"));
        let error = error.context("the images cannot be used").unwrap_err();
        assert!(of(&error).is_some_and(|hint| hint.starts_with("--holdout")));
        assert_eq!(of(&anyhow::anyhow!("something else")), None);
        assert_eq!(of(&DataError::NoImages.into()), None);
    }
}
