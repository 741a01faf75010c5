//! `noprop check`: the same images, the same noise, every device; the numbers side by side.

mod browser;
mod numbers;
mod report;

use anyhow::{Context, Result, bail};
use noprop_core::sampler::Sampling;
use noprop_core::weights;
use noprop_core::{ModelConfig, SamplerKind};
use noprop_data::Split;

use crate::adapters::{self, Chosen, DeviceChoice};
use crate::cli::CheckArgs;
use crate::run_folder::{self, write_atomically};
use numbers::Numbers;
use report::Report;

/// Samplers that are compared, with T: the default, and the one of evaluation after each epoch. Of a
/// NoProp-DT model both that it has, with its T.
const WALKS: [(SamplerKind, usize); 3] = [
    (SamplerKind::Ddim, 10),
    (SamplerKind::Euler, 40),
    (SamplerKind::Heun, 40),
];

/// What every device is given.
pub struct Task {
    /// Weights file.
    pub weights: Vec<u8>,
    /// Test images with their labels.
    pub images: Split,
    /// Walks from noise to label.
    pub walks: Vec<Sampling>,
}

pub fn run(args: &CheckArgs) -> Result<()> {
    let weights = match &args.weights {
        Some(path) => run_folder::read_weights(path)?,
        None => crate::assets::MNIST_WEIGHTS.to_vec(),
    };
    let card = weights::read_card(&weights)
        .and_then(|card| card.check_complete().map(|()| card))
        .context("these weights cannot be used")?;
    let dataset = crate::dataset::for_weights(&card, None, &args.source, args.weights.as_deref())?;
    let name = dataset.name;
    if dataset.test.len() < args.images {
        eprintln!("note: {name} has {} test images here", dataset.test.len());
    }
    let task = Task {
        weights,
        images: dataset.test.take(args.images),
        walks: walks(&card.model)
            .into_iter()
            .map(|(kind, steps)| Sampling {
                kind,
                steps,
                seed: args.seed,
            })
            .collect(),
    };

    let mut all: Vec<Numbers> = Vec::new();
    for chosen in devices(&args.devices)? {
        eprintln!("{} images on {}", task.images.len(), chosen.name);
        all.push(numbers::measure(&task, &chosen, args.threads)?);
    }
    if args.browser {
        all.extend(browser::measure(&task, args)?);
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

fn walks(model: &ModelConfig) -> Vec<(SamplerKind, usize)> {
    match model.blocks() {
        Some(blocks) => [SamplerKind::Ddim, SamplerKind::Ancestral]
            .into_iter()
            .filter(|kind| kind.check(model).is_ok())
            .map(|kind| (kind, blocks))
            .collect(),
        None => WALKS.to_vec(),
    }
}

/// The CPU first, since the others are compared with it; then what was asked for, or all there is.
fn devices(asked: &[DeviceChoice]) -> Result<Vec<Chosen>> {
    let others: Vec<DeviceChoice> = if asked.is_empty() {
        let adapters = adapters::adapters().len();
        let wgpu = (0..adapters).map(|i| DeviceChoice::Wgpu(Some(i)));
        let cuda = cfg!(feature = "cuda").then_some(DeviceChoice::Cuda(0));
        wgpu.chain(cuda).collect()
    } else {
        asked.to_vec()
    };
    let mut chosen = vec![adapters::choose(DeviceChoice::Cpu)?];
    for choice in others.into_iter().filter(|c| *c != DeviceChoice::Cpu) {
        chosen.push(adapters::choose(choice)?);
    }
    Ok(chosen)
}
