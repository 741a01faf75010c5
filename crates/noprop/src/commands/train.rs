//! `noprop train`.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use noprop_core::SamplerKind;
use noprop_core::weights::Tensors;
use noprop_data::{Dataset, Loaded};
use noprop_train::{Flow, Recipe, TrainEvent, Trainer};

use crate::adapters::{self, Chosen};
use crate::budget::Budget;
use crate::choice::Choice;
use crate::cli::TrainArgs;
use crate::commands::eval::{Plan, Table, default_steps};
use crate::commands::import;
use crate::progress::Console;
use crate::record::Record;
use crate::run_folder::RunFolder;

pub fn run(args: &TrainArgs) -> Result<()> {
    train(args).map(|_| ())
}

/// Trains, and says how it ended.
///
/// # Errors
/// When the flags do not fit each other or the data, or the run folder cannot be written.
pub fn train(args: &TrainArgs) -> Result<End> {
    let (mut choice, resumed) = match &args.resume {
        Some(path) => {
            let folder = RunFolder::open(path)?;
            let choice = Choice::resume(folder.recipe()?, args)?;
            let checkpoint = folder.newest_checkpoint()?;
            (choice, Some((folder, checkpoint)))
        }
        None => (Choice::of(args)?, None),
    };
    if let Some(file) = &args.init_backbone {
        choice.recipe.train.init_backbone = Some(file.display().to_string());
    }
    choice.recipe.validate()?;
    if args.show_recipe {
        print!("{}", toml::to_string_pretty(&choice.recipe)?);
        return Ok(End::Complete);
    }
    crate::pipe::go_on_unread();
    let (chosen, others) = devices(args)?;
    let data = &choice.recipe.data;
    let Loaded {
        dataset, source, ..
    } = crate::dataset::load(&data.dataset, &args.source, &data.folder)?;
    choice.fit_to(&dataset);
    let (recipe, run) = (choice.recipe, choice.run);
    let threads = chosen.threads(args.device.threads.or(Some(recipe.train.threads)));
    let (folder, checkpoint) = match resumed {
        Some((folder, checkpoint)) => (Some(folder), Some(checkpoint)),
        None => (None, None),
    };
    // The trainer refuses what does not fit before a folder is made or replaced.
    let mut trainer = match (checkpoint, &recipe.train.init_backbone) {
        (None, Some(file)) => {
            let weights = backbone(Path::new(file), &recipe)?;
            Trainer::with_backbone(recipe.clone(), &dataset, &chosen.device, threads, weights)?
        }
        (checkpoint, _) => Trainer::new(
            recipe.clone(),
            &dataset,
            &chosen.device,
            threads,
            checkpoint,
        )?,
    };
    if !others.is_empty() {
        trainer = trainer.with_devices(&others)?;
    }
    let folder = match folder {
        Some(folder) => folder,
        None => {
            let out = args
                .out
                .clone()
                .unwrap_or_else(|| Path::new("runs").join(run));
            RunFolder::create(&out, args.force)?
        }
    };
    let [c, h, w] = dataset.train.shape;
    eprintln!(
        "training on {} with {} images of {c}×{h}×{w} in {} classes from {source}, {} test images, run folder {}",
        chosen.name,
        dataset.train.len(),
        dataset.classes.len(),
        dataset.test.len(),
        folder.path().display()
    );
    folder.write("config.toml", toml::to_string_pretty(&recipe)?.as_bytes())?;

    let time = args.overrides.budget.and_then(Budget::time);
    let end = run_loop(&mut trainer, &recipe, &folder, time)?;
    folder.save_weights(&trainer.trained(), &dataset, recipe.part())?;
    let again = format!("noprop train --resume {}", folder.path().display());
    match end {
        End::Interrupted => {
            println!("stopped; continue with: {again}");
            return Ok(end);
        }
        End::BudgetSpent => println!("the budget is spent; continue with: {again}"),
        End::Complete => {}
    }
    if let (Some(part), Some(all)) = (recipe.part(), recipe.model.blocks()) {
        println!(
            "weights of blocks {part} of 1-{all}: {}; join them with the others by `noprop merge`",
            folder.path().join("model.safetensors").display()
        );
        return Ok(end);
    }
    if !args.no_table {
        final_table(&trainer, &recipe, &dataset);
    }
    println!(
        "weights: {}",
        folder.path().join("model.safetensors").display()
    );
    Ok(end)
}

/// The device that holds the weights, and those that a batch is sharded over besides. Its name is that of all.
fn devices(args: &TrainArgs) -> Result<(Chosen, Vec<Device>)> {
    let mut choices = args.devices.iter();
    let first = choices.next().unwrap_or(&args.device.device);
    let mut chosen = adapters::choose(*first)?;
    let mut others = Vec::new();
    for &choice in choices {
        let other = adapters::choose(choice)?;
        chosen.name = format!("{} and {}", chosen.name, other.name);
        others.push(other.device);
    }
    Ok((chosen, others))
}

/// What the backbone starts from.
fn backbone(file: &Path, recipe: &Recipe) -> Result<Tensors> {
    let state = import::read(file)?;
    noprop_pytorch::backbone_tensors(state, &recipe.model)
        .with_context(|| format!("the backbone cannot start from {}", file.display()))
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// After the last epoch.
    Complete,
    /// When its budget was spent.
    BudgetSpent,
    /// By Ctrl-C.
    Interrupted,
}

/// Runs the loop with its consumers.
fn run_loop(
    trainer: &mut Trainer,
    recipe: &Recipe,
    folder: &RunFolder,
    time: Option<Duration>,
) -> Result<End> {
    let interrupted = interruption()?;
    let mut console = Console::new(recipe.train.batch_size, recipe.part());
    let mut record = Record::new(folder)?;
    let start = Instant::now();
    let mut failure = None;
    let mut end = End::Complete;
    trainer.run(&mut |event| {
        console.on(&event);
        if let Err(error) = record.on(&event) {
            failure = Some(error);
            return Flow::Stop;
        }
        end = if matches!(event, TrainEvent::Finished { .. }) {
            End::Complete
        } else if interrupted.load(Ordering::SeqCst) {
            End::Interrupted
        } else if time.is_some_and(|time| start.elapsed() >= time) {
            End::BudgetSpent
        } else {
            return Flow::Continue;
        };
        Flow::Stop
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    record.finish(end != End::Interrupted)?;
    Ok(end)
}

/// Whether Ctrl-C was pressed. A second one ends the process at once.
fn interruption() -> Result<&'static AtomicBool> {
    static PRESSED: AtomicBool = AtomicBool::new(false);
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    let install = || {
        ctrlc::set_handler(|| {
            if PRESSED.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("finishing the step, then saving");
        })
        .is_ok()
    };
    if !INSTALLED.get_or_init(install) {
        bail!("Ctrl-C cannot be handled");
    }
    Ok(&PRESSED)
}

/// Accuracy over T for every sampler that suits the model.
fn final_table(trainer: &Trainer, recipe: &Recipe, dataset: &Dataset) {
    println!("Final evaluation on {}:", dataset.name);
    let suits = |kind: &SamplerKind| kind.check(&recipe.model).is_ok();
    let samplers: Vec<SamplerKind> = SamplerKind::ALL.into_iter().filter(suits).collect();
    let plan = Plan {
        mistakes: false,
        samplers: &samplers,
        steps: &default_steps(&recipe.model, &[1, 2, 5, 10, 20, 40, 60, 100]),
        repeats: 1,
        votes: recipe.eval.votes,
        seed: recipe.eval.seed,
        classes: &[],
    };
    Table::measure(&trainer.trained(), trainer.test(), trainer.workers(), &plan).print();
}
