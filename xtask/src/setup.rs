//! `cargo xtask setup`: says what the tests need, and installs it where that is possible.
//!
//! Everything here is optional for building the product. A piece that cannot be had is a warning:
//! the test that needs it then says that it is skipped.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use crate::process::{capture, cargo, run_bounded, which};
use crate::{browser, vulkan, wasm, web};

const RUSTUP_LIMIT: Duration = Duration::from_secs(60);
const APT_UPDATE_LIMIT: Duration = Duration::from_secs(180);
const APT_INSTALL_LIMIT: Duration = Duration::from_secs(900);
const BROWSER_PACKAGES: &[&str] = &["chromium"];
const VULKAN_PACKAGES: &[&str] = &["mesa-vulkan-drivers", "libvulkan1"];

/// Where the wasm32 target may come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WasmSource {
    /// What is there; else rustup; else Debian's packages
    #[default]
    Auto,
    /// Build it from Debian's packages, without asking rustup
    Debian,
    /// Leave it alone
    Skip,
}

/// Runs every step; none of them stops the others.
pub fn setup(wasm_source: WasmSource) {
    println!("== setup");
    let steps = [
        ("rustfmt", component("fmt", "rustfmt")),
        ("clippy", component("clippy", "clippy")),
        ("vulkan", software_vulkan()),
        ("wasm32", wasm32(wasm_source)),
        ("bindgen", bindgen(wasm_source)),
        ("browser", chromium()),
        ("e2e", browser::install_driver()),
    ];
    println!("-- setup, result");
    for (name, result) in steps {
        match result {
            Ok(done) => println!("   {name:<8} {done}"),
            Err(error) => println!("   {name:<8} WARNING: {error:#}"),
        }
    }
}

fn component(subcommand: &str, name: &str) -> Result<String> {
    let present = || capture(&mut cargo([subcommand, "--version"])).is_some();
    if present() {
        return Ok("present".to_owned());
    }
    ensure!(
        which("rustup").is_some(),
        "missing; install {name} beside your Rust toolchain"
    );
    let mut add = Command::new("rustup");
    add.args(["component", "add", name])
        .env("RUSTUP_MAX_RETRIES", "0");
    ensure!(
        run_bounded(&mut add, RUSTUP_LIMIT)? && present(),
        "rustup could not add {name}"
    );
    Ok("added with rustup".to_owned())
}

fn software_vulkan() -> Result<String> {
    let present = || vulkan::find_driver().filter(|_| vulkan::has_loader());
    if !cfg!(target_os = "linux") {
        return Ok("not needed: the tests use this system's own GPU interface".to_owned());
    }
    if let Some(driver) = present() {
        return Ok(format!("present: {}", driver.to_string_lossy()));
    }
    ensure!(
        which("apt-get").is_some(),
        "missing; install Mesa's software Vulkan driver (lavapipe) and the Vulkan loader"
    );
    apt_install(VULKAN_PACKAGES)?;
    match present() {
        Some(driver) => Ok(format!("installed: {}", driver.to_string_lossy())),
        None => bail!("the packages are installed, yet no driver was found"),
    }
}

fn wasm32(source: WasmSource) -> Result<String> {
    if source == WasmSource::Skip {
        return Ok("left alone".to_owned());
    }
    if source == WasmSource::Auto
        && let Some(found) = wasm::Toolchain::find()
    {
        return Ok(format!("present in {}", found.describe()));
    }
    let installed = wasm::install(source == WasmSource::Auto)?;
    Ok(format!("installed in {}", installed.describe()))
}

fn bindgen(source: WasmSource) -> Result<String> {
    if source == WasmSource::Skip {
        return Ok("left alone".to_owned());
    }
    let program = web::bindgen_program()?;
    Ok(format!("present: {}", program.display()))
}

fn chromium() -> Result<String> {
    if let Some(program) = browser::find() {
        return Ok(format!("present: {}", program.display()));
    }
    ensure!(
        cfg!(target_os = "linux") && which("apt-get").is_some(),
        "missing; install Chromium, or set NOPROP_BROWSER to a browser of its kind"
    );
    apt_install(BROWSER_PACKAGES)?;
    match browser::find() {
        Some(program) => Ok(format!("installed: {}", program.display())),
        None => bail!("the package is installed, yet no browser was found"),
    }
}

/// Installs the packages that are missing, when we are allowed to.
pub fn apt_install(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|name| !is_installed(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    ensure!(
        is_root(),
        "missing; run as root once: apt-get install {list}"
    );
    let mut update = apt_get();
    update.args(["-qq", "update"]);
    // The lists that are there may be good enough.
    if !run_bounded(&mut update, APT_UPDATE_LIMIT)? {
        println!("the package lists could not be refreshed");
    }
    let mut install = apt_get();
    install
        .args(["-qq", "-y", "--no-install-recommends", "install"])
        .args(&missing);
    ensure!(
        run_bounded(&mut install, APT_INSTALL_LIMIT)?,
        "apt-get could not install {list}"
    );
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f=${db:Status-Status}", package]);
    capture(&mut query).is_some_and(|status| status == "installed")
}

fn is_root() -> bool {
    capture(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0")
}
