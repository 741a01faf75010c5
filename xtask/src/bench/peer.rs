//! The virtual environment of the PyTorch peer.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// The path of the Python of the virtual environment, which is made first if there is none.
///
/// # Errors
/// When Python is missing or the packages cannot be installed.
pub fn environment() -> Result<PathBuf> {
    let folder = process::target_dir()?.join("peer-venv");
    let python = folder.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    let mut import = Command::new(&python);
    import.args(["-c", "import torch, safetensors, numpy"]);
    if python.is_file() && process::capture(&mut import).is_some() {
        return Ok(python);
    }
    let Some(system) = ["python3", "python"].into_iter().find_map(process::which) else {
        bail!("no Python was found; install Python 3.11 or newer, or name one with --python");
    };
    let requirements = process::workspace_root().join("benchmarks/peer/requirements.txt");
    let mut make = Command::new(system);
    make.args(["-m", "venv"]).arg(&folder);
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--requirement"])
        .arg(&requirements);
    if !process::run(&mut make)? || !process::run(&mut install)? {
        bail!(
            "the packages of {} could not be installed into {}; name a Python that has them with --python",
            requirements.display(),
            folder.display()
        );
    }
    Ok(python)
}
