//! `cargo xtask setup`: says what the checks need, and installs what rustup, cargo and npm can install.
//!
//! Nothing of this is needed to build or use the program. A check that lacks something says that it is skipped.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use noprop_browser::find_browser;

use crate::page::{self, WASM};
use crate::process::{capture, cargo, run_bounded, which};
use crate::{e2e, vulkan};

const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// Takes every step of the setup, even if an earlier one fails.
pub fn setup() {
    println!("== setup");
    let steps = [
        ("rustfmt", component("fmt", "rustfmt")),
        ("clippy", component("clippy", "clippy")),
        ("wasm32", wasm32()),
        (
            "bindgen",
            page::bindgen_program().map(|path| path.display().to_string()),
        ),
        ("npm", e2e::install_packages()),
        ("browser", browser()),
        ("vulkan", software_vulkan()),
    ];
    println!("-- setup, result");
    for (name, result) in steps {
        match result {
            Ok(done) => println!("   {name:<8} {done}"),
            Err(error) => println!("   {name:<8} MISSING: {error:#}"),
        }
    }
}

fn component(subcommand: &str, name: &str) -> Result<String> {
    if capture(&mut cargo([subcommand, "--version"])).is_some() {
        return Ok("present".to_owned());
    }
    rustup(["component", "add", name])
}

fn wasm32() -> Result<String> {
    if page::has_wasm() {
        return Ok("present".to_owned());
    }
    rustup(["target", "add", WASM])
}

fn rustup(args: [&str; 3]) -> Result<String> {
    let name = args[2];
    ensure!(
        which("rustup").is_some(),
        "install {name} beside your Rust toolchain, as your system's packages have it"
    );
    ensure!(
        run_bounded(Command::new("rustup").args(args), RUSTUP_LIMIT)?,
        "rustup could not add {name}"
    );
    Ok("added".to_owned())
}

fn browser() -> Result<String> {
    let found = find_browser().map(|path| path.display().to_string());
    found.map_err(|error| anyhow!("{error:#} (Debian, Ubuntu: apt-get install chromium)"))
}

fn software_vulkan() -> Result<String> {
    if !cfg!(target_os = "linux") {
        return Ok("not needed: this system has a GPU interface of its own".to_owned());
    }
    let driver = vulkan::find_driver().filter(|_| vulkan::has_loader());
    driver
        .map(|driver| driver.to_string_lossy().into_owned())
        .ok_or_else(|| {
            anyhow!(
                "install Mesa's software driver and the Vulkan loader \
                 (Debian, Ubuntu: apt-get install mesa-vulkan-drivers libvulkan1)"
            )
        })
}
