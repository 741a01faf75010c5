//! `noprop train`.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use noprop_core::SamplerKind;
use noprop_core::weights::Tensors;
use noprop_data::Dataset;
use noprop_train::{Checkpoint, Flow, Recipe, TrainEvent, Trainer};

use crate::adapters;
use crate::choice::Choice;
use crate::cli::TrainArgs;
use crate::commands::eval::{Plan, Table, default_steps};
use crate::commands::import;
use crate::progress::Console;
use crate::run_folder::RunFolder;

pub fn run(args: &TrainArgs) -> Result<()> {
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
        return Ok(());
    }
    let chosen = adapters::choose(args.device.device)?;
    let data = &choice.recipe.data;
    let dataset = crate::dataset::load(data.dataset, &args.source, &data.folder)?;
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
        "training on {} with {} images of {c}×{h}×{w} in {} classes from {}, {} test images, run folder {}",
        chosen.name,
        dataset.train.len(),
        dataset.classes.len(),
        dataset.source,
        dataset.test.len(),
        folder.path().display()
    );
    folder.write("config.toml", toml::to_string_pretty(&recipe)?.as_bytes())?;

    let complete = train(&mut trainer, &recipe, &folder)?;
    folder.save_weights(&trainer.trained(), &dataset, recipe.part())?;
    if !complete {
        println!(
            "stopped; continue with: noprop train --resume {}",
            folder.path().display()
        );
        return Ok(());
    }
    if let (Some(part), Some(all)) = (recipe.part(), recipe.model.blocks()) {
        println!(
            "weights of blocks {part} of 1-{all}: {}; join them with the others by `noprop merge`",
            folder.path().join("model.safetensors").display()
        );
        return Ok(());
    }
    if !args.no_table {
        final_table(&trainer, &recipe, &dataset);
    }
    println!(
        "weights: {}",
        folder.path().join("model.safetensors").display()
    );
    Ok(())
}

/// What the backbone starts from.
fn backbone(file: &Path, recipe: &Recipe) -> Result<Tensors> {
    let state = import::read(file)?;
    noprop_pytorch::backbone_tensors(state, &recipe.model)
        .with_context(|| format!("the backbone cannot start from {}", file.display()))
}

/// Runs the loop with its consumers; `false` when Ctrl-C stopped it.
fn train(trainer: &mut Trainer, recipe: &Recipe, folder: &RunFolder) -> Result<bool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            // A second Ctrl-C means now.
            std::process::exit(130);
        }
        eprintln!("finishing the step, then saving");
    })
    .context("Ctrl-C cannot be handled")?;

    let mut console = Console::new(recipe.train.batch_size, recipe.part());
    let mut log = folder.metrics()?;
    let start = Instant::now();
    let mut failure = None;
    let mut finished = false;
    trainer.run(&mut |event| {
        console.on(&event);
        finished |= matches!(event, TrainEvent::Finished { .. });
        let kept = keep(&event, folder, &mut log, start);
        if let Err(error) = kept {
            failure = Some(error);
            return Flow::Stop;
        }
        if interrupted.load(Ordering::SeqCst) {
            Flow::Stop
        } else {
            Flow::Continue
        }
    })?;
    failure.map_or(Ok(finished), Err)
}

/// Writes what an event leaves behind: a line of the log, a checkpoint.
fn keep(
    event: &TrainEvent,
    folder: &RunFolder,
    log: &mut std::fs::File,
    start: Instant,
) -> Result<()> {
    if let TrainEvent::Checkpointed { checkpoint, .. } = event {
        let checkpoint: &Checkpoint = checkpoint;
        folder.save_checkpoint(checkpoint)?;
    }
    // Between two reads of the loss a step has nothing to say.
    if !matches!(event, TrainEvent::Step { loss: None, .. }) {
        let mut line = serde_json::to_value(event)?;
        line["seconds"] = start.elapsed().as_secs_f64().into();
        writeln!(log, "{line}").context("metrics.jsonl cannot be written; is the disk full?")?;
    }
    Ok(())
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
