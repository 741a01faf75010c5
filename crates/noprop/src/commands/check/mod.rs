//! `noprop check`: the numbers of every device, for the same images and the same noise, side by side.

mod browser;
mod numbers;
mod report;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use noprop_core::sampler::{DDIM, EULER, HEUN};
use noprop_core::weights::{self, ModelCard};
use noprop_core::{Sampler, Walk};

use crate::devices::{self, Chosen, DeviceChoice};
use crate::flags::{SourceArgs, positive, temperature};
use crate::run_folder::{self, write_atomically};
use numbers::{Numbers, Task};
use report::Report;

/// Weights of the recipe `mnist-small`, f16; `assets/README.md` says how they were made.
const MNIST_WEIGHTS: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../assets/mnist.safetensors"
));

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Run folder or .safetensors file [default: the weights that come with noprop].
    #[arg(long, value_name = "RUN|FILE")]
    weights: Option<PathBuf>,
    /// Compare on the first N test images.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = positive)]
    images: usize,
    /// Noise seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Start walks from noise times X, 0 … 4: 1 is noise, 0 the mean of the noise [default: as the weights
    /// recommend, else 1].
    #[arg(long, value_name = "X", value_parser = temperature)]
    temperature: Option<f32>,
    /// Devices to compare with the CPU, separated by commas [default: all there are].
    #[arg(long, value_delimiter = ',', value_name = "DEVICE")]
    devices: Vec<DeviceChoice>,
    /// Compare a browser, too: its WebGPU and its CPU, through the built page.
    #[arg(long)]
    browser: bool,
    /// Folder of the built page (`trunk build --release` or `cargo xtask web` make it).
    #[arg(long, value_name = "DIR", default_value = "dist")]
    page: PathBuf,
    /// Browser to start [default: a Chromium or Chrome that is installed; "none" prints the address to open].
    #[arg(long, value_name = "PROGRAM")]
    browser_program: Option<String>,
    /// Threads of the CPU; 0 takes one for each core [default: 0].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Folder for check.json and check.md.
    #[arg(long, value_name = "DIR", default_value = "runs/check")]
    out: PathBuf,
    /// Print one JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Dataset source.
    #[command(flatten)]
    source: SourceArgs,
}

/// The walks of a model in continuous time: two deterministic samplers of different order with T = 40, and DDIM with
/// few steps.
const WALKS: [(Sampler, usize); 3] = [(DDIM, 10), (EULER, 40), (HEUN, 40)];

pub fn run(args: &CheckArgs) -> Result<()> {
    let task = args.task()?;
    let mut all: Vec<Numbers> = Vec::new();
    for chosen in chosen(&args.devices)? {
        eprintln!("{} images on {}", task.images.len(), chosen.name);
        all.push(numbers::measure(&task, &chosen, args.threads)?);
    }
    if args.browser {
        let program = args.browser_program.as_deref();
        all.extend(browser::measure(&task, &args.page, program)?);
    }
    let report = Report::new(&task, &all);
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("{} cannot be created", args.out.display()))?;
    let json = serde_json::to_string_pretty(&report)?;
    write_atomically(&args.out.join("check.json"), json.as_bytes())?;
    write_atomically(&args.out.join("check.md"), report.markdown().as_bytes())?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.markdown());
        println!("\nwritten to {}", args.out.display());
    }
    if !report.passed {
        bail!("some numbers differ from the CPU's beyond tolerance");
    }
    Ok(())
}

impl CheckArgs {
    /// The work that every device does.
    fn task(&self) -> Result<Task> {
        let run = self.weights.as_deref();
        let weights = match run {
            Some(path) => run_folder::read_weights(path)?,
            None => MNIST_WEIGHTS.to_vec(),
        };
        let card = weights::read_card(&weights)
            .and_then(|card| card.check_complete().map(|()| card))
            .context("these weights cannot be used")?;
        let dataset = crate::dataset::for_weights(&card, None, &self.source, run)?;
        if dataset.test.len() < self.images {
            let (name, count) = (&dataset.name, dataset.test.len());
            eprintln!("note: {name} has {count} test images here");
        }
        Ok(Task {
            weights,
            images: dataset.test.take(self.images),
            walks: walks(&card, self.seed, self.temperature),
        })
    }
}

/// The walks of the model of `card`: those of [`WALKS`] that serve it, with blocks all samplers that do, and the
/// one that the card recommends. All have this seed, and this temperature or the recommended one.
fn walks(card: &ModelCard, seed: u64, temperature: Option<f32>) -> Vec<Walk> {
    let method = &card.method;
    let process = method.process();
    let mut walks: Vec<Walk> = match method.blocks() {
        Some(steps) => Sampler::serving(process)
            .map(|sampler| Walk::new(sampler, steps))
            .collect(),
        None => WALKS
            .into_iter()
            .filter(|(sampler, _)| sampler.serves(process))
            .map(|(sampler, steps)| Walk::new(sampler, steps))
            .collect(),
    };
    let usual = card.inference_or_usual().walk;
    walks.extend(card.inference.map(|inference| inference.walk));
    for walk in &mut walks {
        walk.seed = seed;
        walk.temperature = temperature.unwrap_or(usual.temperature);
    }
    // The recommended walk may be one of the others.
    if let Some(last) = walks.pop()
        && !walks.contains(&last)
    {
        walks.push(last);
    }
    walks
}

/// The devices to compare. The CPU is the first, since the others are compared with it; then come the devices in
/// `asked`, or all devices if `asked` is empty.
fn chosen(asked: &[DeviceChoice]) -> Result<Vec<Chosen>> {
    let others: Vec<DeviceChoice> = if asked.is_empty() {
        let adapters = devices::adapters().len();
        let wgpu = (0..adapters).map(|i| DeviceChoice::Wgpu(Some(i)));
        let cuda = cfg!(feature = "cuda").then_some(DeviceChoice::Cuda(0));
        wgpu.chain(cuda).collect()
    } else {
        asked.to_vec()
    };
    let mut chosen = vec![devices::choose(DeviceChoice::Cpu)?];
    for choice in others.into_iter().filter(|c| *c != DeviceChoice::Cpu) {
        chosen.push(devices::choose(choice)?);
    }
    Ok(chosen)
}
