//! `noprop export`, `noprop import` and `noprop merge`: weights from file to file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use noprop_core::weights::{self, ModelCard, Precision};
use noprop_core::{Method, ModelConfig, NoProp};
use noprop_data::PublishedDataset;
use noprop_pytorch::{Layout, StateDict};
use noprop_train::Recipe;

use crate::catalogue::{self, published_dataset};
use crate::recipes;
use crate::run_folder::{self, RunFolder, read_state_dict, write_new_file};

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Run folder or .safetensors file.
    run: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Program that is to read the file.
    #[arg(long, value_enum, default_value_t = ExportFormat::Noprop)]
    to: ExportFormat,
    /// Store convolutions and linear layers as f16, half the size.
    #[arg(long)]
    half: bool,
}

/// A program that reads exported weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// This program and its page.
    Noprop,
    /// PyTorch, with the parameter names of yhgon/NoProp where the model is one of its two, else with those of
    /// the port in benchmarks/peer.
    Pytorch,
}

pub fn export(args: &ExportArgs) -> Result<()> {
    let classifier = run_folder::load_classifier(&args.run, &Device::flex())?;
    let (model, card) = (classifier.model(), classifier.card());
    if args.half && args.to == ExportFormat::Pytorch {
        bail!("--to pytorch writes 32 bits, so that what comes back is the same; leave out --half");
    }
    let precision = match args.half {
        true => Precision::Half,
        false => Precision::Full,
    };
    let (bytes, names) = match args.to {
        ExportFormat::Noprop => (weights::to_bytes(model, card, precision)?, String::new()),
        ExportFormat::Pytorch => {
            let (bytes, layout) = noprop_pytorch::export(model, card)?;
            (bytes, format!(", names of {layout}"))
        }
    };
    write_new_file(&args.out, &bytes)?;
    println!("{} ({} bytes{names})", args.out.display(), bytes.len());
    Ok(())
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// File of PyTorch, .pt or .safetensors.
    file: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Model whose parameter names the file has: ours, reference-mnist, reference-simple or torchvision
    /// [default: the one that has these names].
    #[arg(long = "as", value_name = "MODEL")]
    layout: Option<Layout>,
    /// Recipe with the method and the architecture of the model, for a file that does not hold them.
    #[arg(long, value_name = "NAME|FILE")]
    recipe: Option<String>,
    /// Dataset that the model was trained on; it gives the normalisation of pixels and the class names.
    #[arg(long, value_name = "NAME", value_parser = published_dataset())]
    dataset: Option<String>,
}

pub fn import(args: &ImportArgs) -> Result<()> {
    let state = read_state_dict(&args.file)?;
    let recipe = args.recipe.as_deref().map(recipes::find).transpose()?;
    let unusable = || format!("{} cannot be used", args.file.display());
    let layout = match args.layout {
        Some(layout) => layout,
        None => Layout::detect(&state.tensors).with_context(unusable)?,
    };
    let known = state.card.clone();
    let config = config_of_import(args, layout, recipe.as_ref(), known.as_ref())?;
    let dataset = match &known {
        Some(_) if args.dataset.is_none() => None,
        _ => Some(dataset_of_import(args, layout, recipe.as_ref(), &state)?),
    };
    let size = dataset.map_or([1, 1], |data| [data.shape[1], data.shape[2]]);
    let model = noprop_pytorch::import(state, Some(layout), config, size)
        .with_context(unusable)?
        .model;
    let card = card_of_import(&model, dataset, known)?;
    let bytes = weights::to_bytes(&model, &card, Precision::Full)?;
    // The file must be readable: a card can contradict the weights.
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

/// The method and the architecture: those of `--recipe`, or else of the card in the file; `None` if the shapes tell
/// them.
fn config_of_import(
    args: &ImportArgs,
    layout: Layout,
    recipe: Option<&Recipe>,
    card: Option<&ModelCard>,
) -> Result<Option<(Method, ModelConfig)>> {
    let file = args.file.display();
    match (layout, recipe, card) {
        (Layout::Torchvision, ..) => bail!(
            "{file} is a ResNet of torchvision, a backbone without the rest of a model; \
             `noprop train --init-backbone {file}` starts a training from it"
        ),
        (_, Some(recipe), _) => Ok(Some((recipe.method.clone(), recipe.model.clone()))),
        (_, None, Some(card)) => Ok(Some((card.method.clone(), card.model.clone()))),
        (Layout::Ours, None, None) => bail!(
            "the shapes in {file} do not tell method and architecture of the model; name the recipe that it was \
             trained by with --recipe"
        ),
        _ => Ok(None),
    }
}

/// The dataset whose images the model takes: that of `--dataset`, or of the recipe, or else the dataset on which
/// yhgon/NoProp trains such a model.
fn dataset_of_import(
    args: &ImportArgs,
    layout: Layout,
    recipe: Option<&Recipe>,
    state: &StateDict,
) -> Result<&'static PublishedDataset> {
    let classes = state.tensors.get("fuse.net.6.bias").map(|b| b.values.len());
    let asked = args.dataset.as_deref();
    let asked = asked.or(recipe.map(|recipe| recipe.data.dataset.as_str()));
    let name = match (asked, layout, classes) {
        (Some(name), ..) => name,
        (None, Layout::ReferenceMnist, Some(10)) => "mnist",
        (None, Layout::ReferenceSimple, Some(100)) => "cifar100",
        _ => bail!(
            "the weights do not say what they were trained on, and images must be normalised as \
             they were; name the dataset with --dataset"
        ),
    };
    catalogue::find(name)?.with_context(|| {
        format!("--dataset {name} has no published normalisation; name a published dataset")
    })
}

/// The card of an imported model: the published facts about its dataset, or else the card in the file.
fn card_of_import(
    model: &NoProp,
    dataset: Option<&PublishedDataset>,
    known: Option<ModelCard>,
) -> Result<ModelCard> {
    let (method, config) = (model.method().clone(), model.config().clone());
    match (dataset, known) {
        (Some(data), _) if data.classes.len() != config.classes => bail!(
            "the weights have {} classes and {} has {}; name another --dataset",
            config.classes,
            data.name,
            data.classes.len()
        ),
        (Some(data), known) => Ok(ModelCard {
            method,
            model: config,
            normalization: data.normalization(),
            classes: data.class_names(),
            dataset: data.name.to_owned(),
            blocks: None,
            inference: known.and_then(|card| card.inference),
        }),
        (None, Some(card)) => Ok(ModelCard {
            method,
            model: config,
            ..card
        }),
        (None, None) => bail!("the dataset of the training is not known; name it with --dataset"),
    }
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Run folders or .safetensors files that together hold all blocks.
    #[arg(required = true, num_args = 2.., value_name = "RUN|FILE")]
    parts: Vec<PathBuf>,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn merge(args: &MergeArgs) -> Result<()> {
    check_recipes(args)?;
    let parts = args.parts.iter().map(|path| {
        let name = path.display().to_string();
        let (model, card) = weights::from_bytes(run_folder::read_weights(path)?, &Device::flex())
            .with_context(|| {
            let file = run_folder::weights_file(path);
            format!("{} cannot be used", file.display())
        })?;
        Ok((name, model, card))
    });
    let (model, card) = weights::merge(parts.collect::<Result<_>>()?)?;
    let bytes = weights::to_bytes(&model, &card, Precision::Full)?;
    write_new_file(&args.out, &bytes)?;
    println!("{} ({} bytes)", args.out.display(), bytes.len());
    Ok(())
}

/// Checks that run folders among the parts have the same recipe but for blocks and evaluation. A weights file does not
/// hold its recipe; [`weights::merge`] compares the output heads, which tell some of it.
fn check_recipes(args: &MergeArgs) -> Result<()> {
    let mut first: Option<(&Path, Recipe)> = None;
    for path in args.parts.iter().filter(|path| path.is_dir()) {
        let mut recipe = RunFolder::open(path)?.recipe()?;
        recipe.train.blocks = None;
        recipe.eval = Default::default();
        match &first {
            None => first = Some((path, recipe)),
            Some((other, expected)) if *expected != recipe => bail!(
                "{} and {} were trained by different recipes (config.toml); only parts that differ in \
                 --blocks alone make one model",
                other.display(),
                path.display()
            ),
            Some(_) => {}
        }
    }
    Ok(())
}
