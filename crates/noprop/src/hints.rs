//! Hints: the known word that is nearest to an unknown one, and the flags that help against an error of a library,
//! since libraries know no flags.

use anyhow::Error;
use noprop_core::{ConfigError, WalkError, WeightsError};
use noprop_data::{DataError, FolderError};
use noprop_pytorch::PytorchError;
use noprop_train::TrainError;

/// The word of `known` that is nearest to `word`; `None` if none is near.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(4) / 2)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The hint for the first error in the chain of causes that has one.
pub fn of(error: &Error) -> Option<&'static str> {
    error.chain().find_map(of_cause)
}

/// The hint for one error of a library. Some errors hold another error that is not in the chain of causes.
fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref() {
        return match error {
            TrainError::Config(error) => of_cause(error),
            TrainError::Walk(error) => of_cause(error),
            TrainError::Weights(error) => of_cause(error),
            _ => train(error),
        };
    }
    if let Some(error) = cause.downcast_ref() {
        return match error {
            PytorchError::Config(error) => of_cause(error),
            PytorchError::Weights(error) => of_cause(error),
            _ => None,
        };
    }
    let config = cause.downcast_ref().and_then(config);
    let walk = || cause.downcast_ref().and_then(walk);
    let weights = || cause.downcast_ref().and_then(weights);
    let data = || cause.downcast_ref().and_then(data);
    config.or_else(walk).or_else(weights).or_else(data)
}

/// The hint for an error of the trainer.
fn train(error: &TrainError) -> Option<&'static str> {
    match error {
        TrainError::Diverged { .. } => Some(
            "try a smaller learning rate as in --lr 1e-4, --set train.clip_norm=1, or --set \
             train.warmup_steps=200",
        ),
        TrainError::OtherRecipe => Some(
            "leave out the flags that change the recipe to resume this run, or start another run with --out",
        ),
        TrainError::Workers(_) => Some("--threads 1 starts no threads"),
        _ => None,
    }
}

/// The hint for a recipe that cannot be trained.
fn config(error: &ConfigError) -> Option<&'static str> {
    match error {
        ConfigError::Value {
            field: "train.blocks" | "train.block_order",
            ..
        } => Some(
            "--recipe paper-dt is a recipe of NoProp-DT; others need neither --blocks nor --block-order",
        ),
        _ => None,
    }
}

/// The hint for a walk that a model cannot make.
fn walk(error: &WalkError) -> Option<&'static str> {
    match error {
        WalkError::Sampler { .. } => {
            Some("without --sampler or --samplers the one that the weights recommend is taken")
        }
        WalkError::Temperature(_) => Some(
            "--temperature 0 starts walks from the mean of the noise, --temperature 1 from noise",
        ),
        WalkError::Steps { .. } => Some("without --steps the model's own T is taken"),
        _ => None,
    }
}

/// The hint for weights that cannot be used.
fn weights(error: &WeightsError) -> Option<&'static str> {
    match error {
        WeightsError::NotOurs { .. } => {
            Some("`noprop import` makes a weights file of weights of PyTorch")
        }
        WeightsError::Partial { .. } => {
            Some("`noprop merge` joins files whose blocks were trained apart")
        }
        WeightsError::Config(error) => config(error),
        _ => None,
    }
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
    fn errors_inside_of_errors_have_hints() {
        let blocks = || ConfigError::Value {
            field: "train.blocks",
            found: "1-2".into(),
            expected: "nothing",
        };
        let inner = of(&TrainError::from(blocks()).into());
        assert!(inner.is_some_and(|hint| hint.contains("paper-dt")));
        assert_eq!(inner, of(&blocks().into()));
        let diverged = TrainError::Diverged {
            value: f32::NAN,
            epoch: 1,
            step: 1,
        };
        let hint = of(&Error::from(diverged).context("the row"));
        assert!(hint.is_some_and(|hint| hint.contains("--lr")));
        let foreign = WeightsError::NotOurs { key: "card" };
        assert!(of(&foreign.into()).is_some_and(|hint| hint.contains("noprop import")));
    }

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
