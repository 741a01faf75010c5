//! `noprop merge`: one NoProp-DT model from parts that were trained apart.

use std::path::Path;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use noprop_core::weights::{self, Precision};
use noprop_train::Recipe;

use crate::cli::MergeArgs;
use crate::run_folder::{self, RunFolder, write_atomically};

pub fn run(args: &MergeArgs) -> Result<()> {
    if args.out.is_dir() {
        bail!(
            "{} is a folder; --out takes the name of a file",
            args.out.display()
        );
    }
    check_recipes(args)?;
    let parts = args.parts.iter().map(|path| {
        let name = path.display().to_string();
        let (model, card) = weights::from_bytes(run_folder::read_weights(path)?, &Device::flex())
            .with_context(|| {
            format!(
                "{} cannot be used",
                run_folder::weights_file(path).display()
            )
        })?;
        Ok((name, model, card))
    });
    let (model, card) = weights::merge(parts.collect::<Result<_>>()?)?;
    let bytes = weights::to_bytes(&model, &card, Precision::Full)?;
    if let Some(parent) = args.out.parent().filter(|p| *p != Path::new("")) {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("{} cannot be created", parent.display()))?;
    }
    write_atomically(&args.out, &bytes)?;
    println!("{} ({} bytes)", args.out.display(), bytes.len());
    Ok(())
}

/// Whether run folders among the parts were trained alike. A weights file does not say how it was
/// trained; what the output heads say of it, [`weights::merge`] checks.
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
