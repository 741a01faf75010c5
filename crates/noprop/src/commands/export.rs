//! `noprop export`: the weights of a run, to publish or for PyTorch.

use anyhow::{Result, bail};
use burn::tensor::Device;
use noprop_core::weights::{self, Precision};

use crate::cli::{ExportArgs, ExportFormat};
use crate::run_folder::{self, write_new_file};

pub fn run(args: &ExportArgs) -> Result<()> {
    let (model, card, _) = run_folder::load_model(&args.run, &Device::flex())?;
    if args.half && args.to == ExportFormat::Pytorch {
        bail!("--to pytorch writes 32 bits, so that what comes back is the same; leave out --half");
    }
    let precision = if args.half {
        Precision::Half
    } else {
        Precision::Full
    };
    let (bytes, names) = match args.to {
        ExportFormat::Noprop => (weights::to_bytes(&model, &card, precision)?, String::new()),
        ExportFormat::Pytorch => {
            let (bytes, layout) = noprop_pytorch::export(&model, &card)?;
            (bytes, format!(", names of {layout}"))
        }
    };
    write_new_file(&args.out, &bytes)?;
    println!("{} ({} bytes{names})", args.out.display(), bytes.len());
    Ok(())
}
