//! `noprop import`: weights of PyTorch as a weights file of ours.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use noprop_core::ModelConfig;
use noprop_core::weights::{self, ModelCard, Precision};
use noprop_data::PublishedDataset;
use noprop_pytorch::{Layout, PytorchError, StateDict};
use noprop_train::Recipe;

use crate::catalogue;
use crate::cli::ImportArgs;
use crate::recipes;
use crate::run_folder::write_new_file;

pub fn run(args: &ImportArgs) -> Result<()> {
    let state = read(&args.file)?;
    let recipe = args.recipe.as_deref().map(recipes::find).transpose()?;
    let layout = match args.layout {
        Some(layout) => layout,
        None => Layout::detect(&state.tensors)
            .with_context(|| format!("{} cannot be used", args.file.display()))?,
    };
    let known = state.card.clone();
    let dataset = match &known {
        Some(_) if args.dataset.is_none() => None,
        _ => Some(dataset(args, layout, recipe.as_ref(), &state)?),
    };
    let config = config(recipe.as_ref(), known.as_ref());
    let size = dataset.map_or([1, 1], |data| [data.shape[1], data.shape[2]]);
    let imported = noprop_pytorch::import(state, Some(layout), config, size)
        .map_err(with_hint)
        .with_context(|| format!("{} cannot be used", args.file.display()))?;

    let model = imported.model.config().clone();
    let card = match (dataset, known) {
        (Some(data), _) => card_of(data, model)?,
        (None, Some(card)) => ModelCard { model, ..card },
        (None, None) => bail!("nothing says what the model was trained on; name it with --dataset"),
    };
    let bytes = weights::to_bytes(&imported.model, &card, Precision::Full)?;
    // What is written must be readable: a card can contradict the weights.
    weights::read_card(&bytes)?;
    write_new_file(&args.out, &bytes)?;
    println!(
        "{} ({} bytes, {layout}, {} classes of {})",
        args.out.display(),
        bytes.len(),
        card.model.classes,
        card.dataset
    );
    Ok(())
}

/// The state dict in a file.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read(path: &Path) -> Result<StateDict> {
    let bytes =
        std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    StateDict::read(&bytes).with_context(|| format!("{} cannot be used", path.display()))
}

/// What the library says, and the flag that helps.
fn with_hint(error: PytorchError) -> anyhow::Error {
    match error {
        PytorchError::Incomplete(_) => anyhow!("{error}; name its recipe with --recipe"),
        PytorchError::BackboneOnly => {
            anyhow!("{error}; start a training from it with `noprop train --init-backbone FILE`")
        }
        other => other.into(),
    }
}

/// The configuration: that of `--recipe`, or that of the file's own card.
fn config(recipe: Option<&Recipe>, card: Option<&ModelCard>) -> Option<ModelConfig> {
    let recipe = recipe.map(|recipe| recipe.model.clone());
    recipe.or_else(|| card.map(|card| card.model.clone()))
}

/// The dataset whose images the model takes: by `--dataset`, by the recipe, else by what the
/// reference trains.
fn dataset(
    args: &ImportArgs,
    layout: Layout,
    recipe: Option<&Recipe>,
    state: &StateDict,
) -> Result<&'static PublishedDataset> {
    let classes = state.tensors.get("fuse.net.6.bias").map(|b| b.values.len());
    let name = match (args.dataset.as_deref(), recipe, layout, classes) {
        (Some(name), ..) => name,
        (None, Some(recipe), ..) => &recipe.data.dataset,
        (None, None, Layout::ReferenceMnist, Some(10)) => "mnist",
        (None, None, Layout::ReferenceSimple, Some(100)) => "cifar100",
        // Ours and torchvision's are refused for a better reason later.
        (None, None, Layout::Ours | Layout::Torchvision, _) => "mnist",
        _ => bail!(
            "the weights do not say what they were trained on, and images must be normalised as \
             they were; name it with --dataset (mnist, fashion-mnist, cifar10 or cifar100)"
        ),
    };
    catalogue::find(name)?.with_context(|| {
        format!("--dataset {name} has no published normalisation; name a published dataset")
    })
}

fn card_of(data: &PublishedDataset, model: ModelConfig) -> Result<ModelCard> {
    if data.classes.len() != model.classes {
        bail!(
            "the weights have {} classes and {} has {}; name another --dataset",
            model.classes,
            data.name,
            data.classes.len()
        );
    }
    Ok(ModelCard {
        model,
        mean: data.mean.to_vec(),
        std: data.std.to_vec(),
        classes: data.class_names(),
        dataset: data.name.to_owned(),
        blocks: None,
    })
}
