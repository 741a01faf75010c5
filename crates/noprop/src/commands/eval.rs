//! `noprop eval`, and the table at the end of training.

use std::time::Instant;

use anyhow::Result;
use noprop_core::sampler::Sampling;
use noprop_core::{ModelConfig, NoProp, SamplerKind};
use noprop_data::DeviceSplit;
use noprop_train::{Accuracy, Evaluator, Workers};
use serde::Serialize;

use crate::adapters;
use crate::cli::EvalArgs;
use crate::commands::ablation::{self, Ablation};
use crate::run_folder;
use crate::statistics::Mean;

/// One sampler at one T.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    sampler: SamplerKind,
    steps: usize,
    /// Mean over the noise seeds, percent.
    accuracy: f64,
    /// Standard error over the noise seeds, percent; absent for a single one.
    standard_error: Option<f64>,
    /// Wilson's 95 % interval of the first seed, percent.
    interval: (f64, f64),
    /// Sampling alone, without the backbone.
    images_per_second: f64,
    seconds: f64,
    /// Indices of the images that the first seed gets wrong, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    mistakes: Option<Vec<usize>>,
}

/// The whole table.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    images: usize,
    repeats: usize,
    /// Walks of each image, whose class probabilities are averaged.
    votes: usize,
    /// One pass of the backbone over all images.
    features_seconds: f64,
    rows: Vec<Row>,
    /// One of each class, when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<ClassRow>,
    /// What wrong inputs leave of the accuracy, when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ablations: Vec<Ablation>,
}

/// The accuracy of one class.
#[derive(Debug, Clone, Serialize)]
struct ClassRow {
    class: String,
    images: usize,
    /// Percent.
    accuracy: f64,
}

/// What to put into a table.
pub struct Plan<'a> {
    /// Samplers.
    pub samplers: &'a [SamplerKind],
    /// Numbers of steps.
    pub steps: &'a [usize],
    /// Noise seeds per cell.
    pub repeats: usize,
    /// Walks of each image, whose class probabilities are averaged.
    pub votes: usize,
    /// The first of them.
    pub seed: u64,
    /// Whether to name the images that are wrong.
    pub mistakes: bool,
    /// Names of the classes to tell apart, with the first sampler and the last T; none.
    pub classes: &'a [String],
}

impl Table {
    /// Evaluates `model` on `split`; the backbone runs once for the whole table.
    pub fn measure(
        model: &NoProp,
        split: &DeviceSplit,
        workers: &Workers,
        plan: &Plan<'_>,
    ) -> Self {
        let start = Instant::now();
        let evaluator = Evaluator::new(model, split, workers).with_votes(plan.votes);
        // The first walk makes a GPU finish the features, and compiles the kernels of a step.
        evaluator.accuracy(Sampling {
            kind: SamplerKind::Ddim,
            steps: model.config().blocks().unwrap_or(1),
            seed: plan.seed,
        });
        let features_seconds = start.elapsed().as_secs_f64();
        let mut rows = Vec::new();
        for &kind in plan.samplers {
            for &steps in plan.steps {
                let start = Instant::now();
                let runs: Vec<Accuracy> = (0..plan.repeats as u64)
                    .map(|i| {
                        evaluator.accuracy(Sampling {
                            kind,
                            steps,
                            // No walk serves twice.
                            seed: plan.seed.wrapping_add(i * plan.votes as u64),
                        })
                    })
                    .collect();
                let seconds = start.elapsed().as_secs_f64() / plan.repeats as f64;
                let mut row = Row::new(kind, steps, &runs, seconds);
                if plan.mistakes {
                    let outcomes = evaluator.outcomes(Sampling {
                        kind,
                        steps,
                        seed: plan.seed,
                    });
                    let wrong = |&i: &usize| !outcomes[i].is_right();
                    row.mistakes = Some((0..outcomes.len()).filter(wrong).collect());
                }
                rows.push(row);
            }
        }
        Self {
            images: split.len(),
            repeats: plan.repeats,
            votes: plan.votes,
            features_seconds,
            rows,
            classes: plan.per_class(&evaluator),
            ablations: Vec::new(),
        }
    }

    /// Prints it for people.
    pub fn print(&self) {
        let votes = match self.votes {
            1 => String::new(),
            votes => format!(" of {votes} votes"),
        };
        println!(
            "{} test images, {} noise seed(s){votes}; features of all images once: {:.1}s",
            self.images, self.repeats, self.features_seconds
        );
        println!(
            "{:<16} {:>4}  {:>18}  {:>18}  {:>10}  {:>7}",
            "sampler", "T", "accuracy %", "Wilson 95 %", "images/s", "infer s"
        );
        for row in &self.rows {
            let accuracy = Mean {
                mean: row.accuracy,
                standard_error: row.standard_error,
            };
            let interval = format!("{:.2} … {:.2}", row.interval.0, row.interval.1);
            println!(
                "{:<16} {:>4}  {accuracy:>18}  {interval:>18}  {:>10.0}  {:>7.2}",
                row.sampler, row.steps, row.images_per_second, row.seconds
            );
            if let Some(mistakes) = &row.mistakes {
                println!("    wrong: {mistakes:?}");
            }
        }
        for row in &self.classes {
            println!(
                "{:<16} {:>5} images  {:>6.2} %",
                row.class, row.images, row.accuracy
            );
        }
        if !self.ablations.is_empty() {
            ablation::print(&self.ablations);
        }
    }
}

impl Plan<'_> {
    fn per_class(&self, evaluator: &Evaluator<'_>) -> Vec<ClassRow> {
        let (Some(&kind), Some(&steps)) = (self.samplers.first(), self.steps.last()) else {
            return Vec::new();
        };
        if self.classes.is_empty() {
            return Vec::new();
        }
        let sampling = Sampling {
            kind,
            steps,
            seed: self.seed,
        };
        let accuracies = evaluator.accuracy_per_class(sampling, self.classes.len());
        let row = |(class, accuracy): (&String, Accuracy)| ClassRow {
            class: class.clone(),
            images: accuracy.total,
            accuracy: accuracy.percent(),
        };
        self.classes.iter().zip(accuracies).map(row).collect()
    }
}

impl Row {
    fn new(sampler: SamplerKind, steps: usize, runs: &[Accuracy], seconds: f64) -> Self {
        let percents: Vec<f64> = runs.iter().map(Accuracy::percent).collect();
        let Mean {
            mean: accuracy,
            standard_error,
        } = Mean::of(&percents);
        Self {
            sampler,
            steps,
            accuracy,
            standard_error,
            interval: runs[0].wilson(),
            images_per_second: runs[0].total as f64 / seconds,
            seconds,
            mistakes: None,
        }
    }
}

/// The samplers of a table where none are asked for.
fn default_samplers(model: &ModelConfig) -> Vec<SamplerKind> {
    let second = match model.blocks() {
        Some(_) => SamplerKind::Ancestral,
        None => SamplerKind::Heun,
    };
    let mut samplers = vec![SamplerKind::Ddim, second];
    samplers.retain(|kind| kind.check(model).is_ok());
    samplers
}

/// `usual`, or the only T that the model walks in.
pub fn default_steps(model: &ModelConfig, usual: &[usize]) -> Vec<usize> {
    model.blocks().map_or(usual.to_vec(), |blocks| vec![blocks])
}

pub fn run(args: &EvalArgs) -> Result<()> {
    let chosen = adapters::choose(args.device.device)?;
    let (model, card, normalization) = run_folder::load_model(&args.run, &chosen.device)?;
    let (mut samplers, mut steps) = (args.samplers.clone(), args.steps.clone());
    if samplers.is_empty() {
        samplers = default_samplers(&card.model);
    }
    if steps.is_empty() {
        steps = default_steps(&card.model, &[2, 5, 10, 20, 40, 60, 100]);
    }
    let seed = args.seed;
    let of_sampler = |&kind| {
        let walk = move |&steps| Sampling { kind, steps, seed };
        steps.iter().map(walk)
    };
    let walks: Vec<Sampling> = samplers.iter().flat_map(of_sampler).collect();
    for walk in &walks {
        walk.check(&card.model)?;
    }
    let dataset = crate::dataset::for_weights(
        &card,
        args.dataset.as_deref(),
        &args.source,
        Some(&args.run),
    )?;
    let test = match args.images {
        Some(n) => dataset.test.take(n),
        None => dataset.test,
    };
    let split = DeviceSplit::new(&test, &normalization, card.model.input[0], &chosen.device);
    let workers = Workers::new(chosen.threads(args.device.threads))?;
    eprintln!("device: {}", chosen.name);
    let plan = Plan {
        samplers: &samplers,
        steps: &steps,
        repeats: args.repeats,
        votes: args.votes,
        seed: args.seed,
        mistakes: args.mistakes,
        classes: if args.per_class { &card.classes } else { &[] },
    };
    let mut table = Table::measure(&model, &split, &workers, &plan);
    if args.ablate {
        table.ablations =
            ablation::measure(&model, &test, &normalization, &workers, &walks, args.votes)?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&table)?);
    } else {
        table.print();
    }
    Ok(())
}
