//! `noprop export`: the weights of a run, to publish.

use std::path::Path;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use noprop_core::weights::{self, Precision};

use crate::cli::ExportArgs;
use crate::run_folder::{self, write_atomically};

pub fn run(args: &ExportArgs) -> Result<()> {
    if args.out.is_dir() {
        bail!(
            "{} is a folder; --out takes the name of a file",
            args.out.display()
        );
    }
    let (model, card, _) = run_folder::load_model(&args.run, &Device::flex())?;
    let precision = if args.half {
        Precision::Half
    } else {
        Precision::Full
    };
    let bytes = weights::to_bytes(&model, &card, precision)?;
    if let Some(parent) = args.out.parent().filter(|p| *p != Path::new("")) {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("{} cannot be created", parent.display()))?;
    }
    write_atomically(&args.out, &bytes)?;
    println!("{} ({} bytes)", args.out.display(), bytes.len());
    Ok(())
}
