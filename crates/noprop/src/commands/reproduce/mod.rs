//! `noprop reproduce`: a table of the paper, row by row, beside the paper's numbers.

mod paper;
mod report;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use noprop_core::sampler::{ANCESTRAL, EULER};
use noprop_core::{Inference, Method, Walk};
use noprop_data::{Dataset, Split};
use noprop_train::{Evaluator, Workers};

use crate::catalogue::any_dataset;
use crate::devices::{self, Chosen};
use crate::embedding::Embedding;
use crate::flags::{DeviceArgs, SourceArgs, positive};
use crate::job::{Budget, End, RunPlace, TrainJob};
use crate::progress::Console;
use crate::resolved_recipe::ResolvedRecipe;
use crate::run_folder::{RunFolder, load_classifier};
use crate::settings::Setting;
use paper::{PaperMethod, Published};
use report::{Report, Row};

/// The number of steps T of the paper in continuous time (Table 3).
const STEPS: usize = 1000;

/// Arguments of `reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// Table of the paper.
    table: PaperTable,
    /// Dataset: mnist, cifar10 or cifar100.
    #[arg(long, value_name = "NAME", default_value = "mnist", value_parser = any_dataset(), hide_possible_values = true)]
    dataset: String,
    /// Methods, separated by commas [default: all].
    #[arg(long, value_name = "METHOD", value_delimiter = ',')]
    methods: Vec<PaperMethod>,
    /// Class embeddings, separated by commas: one-hot, dim20, prototype [default: all that the paper has].
    #[arg(long, value_name = "EMBEDDING", value_delimiter = ',')]
    embeddings: Vec<Embedding>,
    /// Train each row N times, with the seeds 0, 1, …
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    seeds: usize,
    /// Evaluate each training with N noise seeds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    repeats: usize,
    /// Train less than the paper: for a number of epochs, or for a time such as 10m or 2h.
    #[arg(long, value_name = "EPOCHS|TIME")]
    budget: Option<Budget>,
    /// Set a key of all recipes, as in method.max_snr=1; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
    /// Steps T of the evaluation's walks in continuous time [default: the paper's 1000].
    #[arg(long, value_name = "T", value_parser = positive)]
    steps: Option<usize>,
    /// Evaluate on at most N training and N test images.
    #[arg(long, value_name = "N", value_parser = positive)]
    images: Option<usize>,
    /// Train on at most N images.
    #[arg(long, value_name = "N", value_parser = positive)]
    limit: Option<usize>,
    /// Folder for the runs and the table.
    #[arg(long, value_name = "DIR", default_value = "runs/table1")]
    out: PathBuf,
    /// Train again what is trained already.
    #[arg(long)]
    force: bool,
    /// Device.
    #[command(flatten)]
    device: DeviceArgs,
    /// Dataset source.
    #[command(flatten)]
    source: SourceArgs,
}

/// A table of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PaperTable {
    /// Accuracies of all methods and class embeddings (Table 1), with time and memory (Table 2).
    Table1,
}

pub fn run(args: &ReproduceArgs) -> Result<()> {
    let PaperTable::Table1 = args.table;
    let wanted = args.wanted()?;
    crate::pipe::go_on_unread();
    let chosen = devices::choose(args.device.device)?;
    let mut report = Report::new(&args.dataset, args.conditions());
    for (method, embedding, published) in wanted {
        let mut row = Row::new(method, embedding, published);
        for seed in 0..args.seeds {
            let Some(folder) = args.trained(method, embedding, seed)? else {
                println!("stopped; the same command goes on");
                return Ok(());
            };
            args.measure(&chosen, &folder, &mut row)?;
        }
        report.add(row);
        // The table is written after every row, since all rows take days.
        report.write(&args.out)?;
        println!("{}", report.text());
    }
    Ok(())
}

impl ReproduceArgs {
    /// The rows of the table that the flags ask for.
    fn wanted(&self) -> Result<Vec<(PaperMethod, Embedding, Published)>> {
        let mut rows = paper::rows(&self.dataset).ok_or_else(|| {
            anyhow!(
                "Table 1 of the paper has mnist, cifar10 and cifar100, not {}",
                self.dataset
            )
        })?;
        rows.retain(|(method, embedding, _)| {
            let listed = self.methods.is_empty() || self.methods.contains(method);
            listed && (self.embeddings.is_empty() || self.embeddings.contains(embedding))
        });
        if rows.is_empty() {
            bail!(
                "Table 1 of the paper has no such row; leave out --methods or --embeddings to see all"
            );
        }
        Ok(rows)
    }

    /// The conditions under which the numbers of the table are found, as a sentence.
    fn conditions(&self) -> String {
        let mut budget = match self.budget {
            Some(budget) => format!("a budget of {budget} for each training"),
            None => "all of the paper's epochs".to_owned(),
        };
        for setting in &self.settings {
            let _ = write!(budget, ", {setting}");
        }
        format!(
            "accuracy, mean ± standard error over {} training(s) × {} evaluation(s); {budget}; seconds of \
             training, peak memory.",
            self.seeds, self.repeats,
        )
    }

    /// The run folder of a row and a seed. It is trained first if it does not exist; `None` if Ctrl-C stopped the
    /// training.
    fn trained(
        &self,
        method: PaperMethod,
        embedding: Embedding,
        seed: usize,
    ) -> Result<Option<PathBuf>> {
        let name = format!("{}-{embedding}-seed{seed}", method.recipe());
        let path = self.out.join(&self.dataset).join(name);
        let found = RunFolder::open(&path).ok().filter(|_| !self.force);
        let summary = found.as_ref().and_then(RunFolder::summary);
        if summary.is_some_and(|summary| summary.complete) {
            eprintln!(
                "{} is trained already (--force trains it anew)",
                path.display()
            );
            return Ok(Some(path));
        }
        eprintln!("{method}, {embedding}, seed {seed}: {}", path.display());
        let settings = self.settings(method, embedding, seed);
        let begun = found.filter(|folder| folder.newest_checkpoint().is_ok());
        let (recipe, run) = match begun {
            Some(folder) => {
                let recipe = folder.recipe()?;
                let recipe = ResolvedRecipe::resumed(&recipe, &settings, &self.source)?;
                (recipe, RunPlace::Resumed(folder))
            }
            None => {
                let recipe = Some(method.recipe());
                let recipe = ResolvedRecipe::new(recipe, &settings, &self.source)?;
                let (path, force) = (path.clone(), true);
                (recipe, RunPlace::New { path, force })
            }
        };
        let mut console = Console::new(recipe.recipe.train.batch_size, recipe.recipe.part());
        let job = TrainJob {
            recipe,
            source: self.source.clone(),
            devices: vec![self.device.device],
            threads: self.device.threads,
            run,
            time: self.budget.and_then(Budget::time),
        };
        let trained = job.run(&mut |event| console.on(event))?;
        Ok((trained.end != End::Interrupted).then_some(path))
    }

    /// The settings for the recipe of a row: those of `--set`, then those of the row itself, which win.
    fn settings(&self, method: PaperMethod, embedding: Embedding, seed: usize) -> Vec<Setting> {
        // With prototypes an evaluation takes longer than an epoch.
        let mut settings = vec![Setting::count("eval.every", 10)];
        settings.extend_from_slice(&self.settings);
        settings.extend([
            Setting::new("data.dataset", self.dataset.as_str()),
            Setting::new("model.class_embedding", embedding.to_string()),
            Setting::count("train.seed", seed),
        ]);
        settings.extend(self.limit.map(|limit| Setting::count("data.limit", limit)));
        settings.extend(match self.budget {
            Some(budget) => budget.setting(),
            None => Budget::Epochs(method.epochs(&self.dataset)).setting(),
        });
        settings
    }

    /// Adds the accuracies of a run and the summary of its training to `row`.
    fn measure(&self, chosen: &Chosen, folder: &Path, row: &mut Row) -> Result<()> {
        let classifier = load_classifier(folder, &chosen.device)?;
        let card = classifier.card().clone();
        let dataset = crate::dataset::for_weights(&card, None, &self.source, Some(folder))?;
        let workers = Workers::new(chosen.threads(self.device.threads))?;
        let Dataset { train, test, .. } = dataset;
        let walk = paper_walk(&card.method, self.steps);
        // The paper's evaluation, whatever the weights recommend.
        let classifier = classifier.with_inference(Inference::by(walk))?;
        let accuracies = |split: &Split| {
            let few = split.take(self.images.unwrap_or(usize::MAX));
            let evaluator = Evaluator::new(&classifier, &few, &workers)?;
            let percent = |seed| Ok(evaluator.accuracy(&walk.with_seed(seed))?.percent());
            (0..self.repeats as u64)
                .map(percent)
                .collect::<Result<Vec<_>>>()
        };
        row.train.extend(accuracies(&train)?);
        row.test.extend(accuracies(&test)?);
        row.summaries.extend(RunFolder::open(folder)?.summary());
        Ok(())
    }
}

/// The walk that the paper evaluates: the blocks of NoProp-DT one after the other, the generative process of NoProp-CT
/// on a fine grid, or Euler's method for the flow or the ODE.
fn paper_walk(method: &Method, steps: Option<usize>) -> Walk {
    let usual = method.default_walk();
    let mut papers = [ANCESTRAL, EULER].into_iter();
    let papers = papers.find(|sampler| sampler.serves(method.process()));
    Walk {
        sampler: papers.unwrap_or(usual.sampler),
        steps: method.blocks().or(steps).unwrap_or(STEPS),
        ..usual
    }
}
