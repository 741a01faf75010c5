//! `noprop reproduce`: a table of the paper, row by row, beside the paper's numbers.

mod paper;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use noprop_core::sampler::Sampling;
use noprop_core::{ModelConfig, SamplerKind};
use noprop_data::{Dataset, DeviceSplit, Split};
use noprop_train::{Evaluator, Workers};

use crate::adapters::{self, Chosen};
use crate::cli::{Overrides, ReproduceArgs, TrainArgs};
use crate::commands::train::{End, train};
use crate::embedding::Embedding;
use crate::run_folder::{self, RunFolder};
use crate::setting::Setting;

pub use paper::Method;
use report::{Report, Row};

/// T of the paper in continuous time (Table 3).
const STEPS: usize = 1000;

pub fn run(args: &ReproduceArgs) -> Result<()> {
    let published = paper::rows(&args.dataset).ok_or_else(|| {
        anyhow!(
            "Table 1 of the paper has mnist, cifar10 and cifar100, not {}",
            args.dataset
        )
    })?;
    let wanted = published.into_iter().filter(|(method, embedding, _)| {
        let listed = args.methods.is_empty() || args.methods.contains(method);
        listed && (args.embeddings.is_empty() || args.embeddings.contains(embedding))
    });
    let wanted: Vec<_> = wanted.collect();
    if wanted.is_empty() {
        bail!(
            "Table 1 of the paper has no such row; leave out --methods or --embeddings to see all"
        );
    }
    crate::pipe::go_on_unread();
    let chosen = adapters::choose(args.device.device)?;
    let mut report = Report::new(args);
    for (method, embedding, published) in wanted {
        let mut row = Row::new(method, embedding, published);
        for seed in 0..args.seeds as u64 {
            let Some(folder) = trained(args, method, embedding, seed)? else {
                println!("stopped; the same command goes on");
                return Ok(());
            };
            measure(args, &chosen, &folder, &mut row)?;
        }
        report.add(row);
        // After every row: a table takes days.
        report.write(&args.out)?;
        println!("{}", report.text());
    }
    Ok(())
}

/// The run folder of a row and a seed, trained if it is not yet; nothing when Ctrl-C stopped it.
fn trained(
    args: &ReproduceArgs,
    method: Method,
    embedding: Embedding,
    seed: u64,
) -> Result<Option<PathBuf>> {
    let out = args.out.join(&args.dataset);
    let out = out.join(format!("{}-{embedding}-seed{seed}", method.recipe()));
    let found = RunFolder::open(&out).ok().filter(|_| !args.force);
    let summary = found.as_ref().and_then(RunFolder::summary);
    if summary.is_some_and(|summary| summary.complete) {
        eprintln!(
            "{} is trained already (--force trains it anew)",
            out.display()
        );
        return Ok(Some(out));
    }
    let can_resume = found.is_some_and(|folder| folder.newest_checkpoint().is_ok());
    let epochs = args.budget.is_none().then(|| method.epochs(&args.dataset));
    // With prototypes an evaluation takes longer than an epoch.
    let mut settings = vec![Setting::new("eval.every", 10)];
    settings.extend_from_slice(&args.settings);
    let overrides = Overrides {
        settings,
        dataset: Some(args.dataset.clone()),
        embedding: Some(embedding),
        seed: Some(seed),
        limit: args.limit,
        budget: args.budget,
        epochs,
        ..Default::default()
    };
    eprintln!("{method}, {embedding}, seed {seed}: {}", out.display());
    let end = train(&TrainArgs {
        recipe: (!can_resume).then(|| method.recipe().to_owned()),
        show_recipe: false,
        resume: can_resume.then(|| out.clone()),
        out: (!can_resume).then(|| out.clone()),
        force: !can_resume,
        init_backbone: None,
        devices: Vec::new(),
        no_table: true,
        overrides,
        device: args.device.clone(),
        source: args.source.clone(),
    })?;
    Ok((end != End::Interrupted).then_some(out))
}

/// Adds the accuracies of a run, and what its training took.
fn measure(args: &ReproduceArgs, chosen: &Chosen, folder: &Path, row: &mut Row) -> Result<()> {
    let (model, card, normalization) = run_folder::load_model(folder, &chosen.device)?;
    let dataset = crate::dataset::for_weights(&card, None, &args.source, Some(folder))?;
    let workers = Workers::new(chosen.threads(args.device.threads))?;
    let Dataset { train, test, .. } = dataset;
    let accuracies = |split: &Split| {
        let few = split.take(args.images.unwrap_or(usize::MAX));
        let few = DeviceSplit::new(&few, &normalization, card.model.input[0], &chosen.device);
        let evaluator = Evaluator::new(&model, &few, &workers);
        let percent = |seed| {
            let sampling = sampling(&card.model, args.steps, seed);
            evaluator.accuracy(sampling).percent()
        };
        (0..args.repeats as u64).map(percent).collect::<Vec<_>>()
    };
    row.train.extend(accuracies(&train));
    row.test.extend(accuracies(&test));
    row.summaries.extend(RunFolder::open(folder)?.summary());
    Ok(())
}

/// The walk that the paper evaluates: its blocks one after the other, the generative process on a fine grid, or
/// Euler's method along the flow or the ODE.
fn sampling(model: &ModelConfig, steps: Option<usize>, seed: u64) -> Sampling {
    let all = [
        SamplerKind::Ancestral,
        SamplerKind::Euler,
        SamplerKind::Ddim,
    ];
    let kind = all.into_iter().find(|kind| kind.check(model).is_ok());
    let kind = kind.unwrap_or_default();
    Sampling {
        kind,
        steps: model.blocks().or(steps).unwrap_or(STEPS),
        seed,
    }
}
