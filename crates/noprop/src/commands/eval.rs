//! `noprop eval`: the accuracy of a model over samplers and numbers of steps T.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use noprop_core::Sampler;
use noprop_train::{Evaluator, Workers};

use crate::catalogue::any_dataset;
use crate::evaluation::{Ablation, BlockAblation, Plan, Table};
use crate::flags::{AskArgs, DeviceArgs, SourceArgs, positive, sampler};
use crate::{dataset, devices, run_folder};

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Run folder or .safetensors file.
    run: PathBuf,
    /// Evaluate on another dataset than that of the training, with the same classes.
    #[arg(long, value_name = "NAME", value_parser = any_dataset())]
    dataset: Option<String>,
    /// Samplers, separated by commas [default: the one that the weights recommend, and ddim, heun or the usual
    /// one of the model's method; two in all].
    #[arg(long, alias = "sampler", value_delimiter = ',', value_name = "SAMPLER", value_parser = sampler())]
    samplers: Vec<Sampler>,
    /// Numbers of steps T, separated by commas [default: 2,5,10,20,40,60,100 and the one that the weights
    /// recommend; of NoProp-DT its number of blocks].
    #[arg(long, value_delimiter = ',', value_name = "T", value_parser = positive)]
    steps: Vec<usize>,
    /// Evaluate with N noise seeds, and give mean ± standard error over them.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    repeats: usize,
    /// Walk, votes and views in place of those that the weights recommend.
    #[command(flatten)]
    ask: AskArgs,
    /// Evaluate on the first N test images.
    #[arg(long, value_name = "N", value_parser = positive)]
    images: Option<usize>,
    /// Print the numbers of the images that are wrong with the first noise seed.
    #[arg(long)]
    mistakes: bool,
    /// Measure what each walk contributes, too: its accuracy with the latents z of other images, with z = 0, from
    /// noise, from the mean of the noise, without any walk, and with random images; of NoProp-DT, too, the accuracy
    /// of each block alone and of all blocks but one.
    #[arg(long)]
    ablate: bool,
    /// Print the accuracy of each class, too, with the first sampler and the last T.
    #[arg(long)]
    per_class: bool,
    /// Print one JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Device.
    #[command(flatten)]
    device: DeviceArgs,
    /// Dataset source.
    #[command(flatten)]
    source: SourceArgs,
}

pub fn run(args: &EvalArgs) -> Result<()> {
    let chosen = devices::choose(args.device.device)?;
    let classifier = run_folder::load_classifier(&args.run, &chosen.device)?;
    let asked = args.ask.apply(classifier.inference());
    let classifier = classifier.with_inference(asked)?;
    let card = classifier.card();
    let method = &card.method;
    let plan = Plan {
        samplers: match args.samplers.as_slice() {
            [] => Plan::usual_samplers(&classifier),
            samplers => samplers.to_vec(),
        },
        steps: match args.steps.as_slice() {
            [] => Plan::usual_steps(&classifier),
            steps => steps.to_vec(),
        },
        repeats: args.repeats,
        base: asked.walk,
        mistakes: args.mistakes,
        per_class: args.per_class,
    };
    // The walks are checked before the images are fetched.
    plan.walks()
        .iter()
        .try_for_each(|walk| method.check_walk(walk))?;
    args.ask.note_equal_votes(&plan.walks());
    let dataset = args.dataset.as_deref();
    let dataset = dataset::for_weights(card, dataset, &args.source, Some(&args.run))?;
    let test = dataset.test.take(args.images.unwrap_or(usize::MAX));
    let workers = Workers::new(chosen.threads(args.device.threads))?;
    eprintln!("device: {}", chosen.name);
    let evaluator = || Evaluator::new(&classifier, &test, &workers);
    let mut table = Table::measure(&classifier, &plan, evaluator)?;
    if args.ablate {
        table.ablations = Ablation::measure(&classifier, &test, &workers, &plan)?;
        table.blocks = BlockAblation::measure(&classifier, &evaluator()?);
    }
    if args.json {
        println!("{}", serde_json::to_string(&table)?);
    } else {
        table.print();
    }
    Ok(())
}
