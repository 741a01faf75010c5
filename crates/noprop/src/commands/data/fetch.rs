//! `noprop data fetch`.

use anyhow::{Result, bail};
use noprop_data::{FolderOptions, Source};

use super::FetchArgs;
use crate::cli::SourceArgs;

pub fn run(args: &FetchArgs) -> Result<()> {
    for &name in &args.datasets {
        if name.published().is_none() {
            bail!("\"{name}\" is your own images; there is nothing to download");
        }
        let dataset =
            crate::dataset::load(name, &SourceArgs::default(), &FolderOptions::default())?;
        if dataset.source == Source::Embedded {
            bail!("{name} could not be downloaded; check the network");
        }
        println!("{name}: complete and verified, from {}", dataset.source);
    }
    Ok(())
}
