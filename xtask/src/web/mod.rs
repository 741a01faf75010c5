//! `cargo xtask web`: the demo's `dist/`, as `trunk build` makes it, without trunk.
//!
//! Both read the same `index.html`. This way takes cargo and a small program of ours around the
//! library of wasm-bindgen, which compiles in minutes where the tools take most of an hour.

mod index;
mod serve;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::process::{cargo, run, target_dir, workspace_root};
use crate::wasm;
use index::{Index, Link, Program};

pub use serve::Server;

/// Cargo's profile where `index.html` names none.
const PROFILE: &str = "release";

#[derive(Args)]
pub struct WebArgs {
    /// Serve the page afterwards on this port of this machine (0: any free one)
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "8080")]
    serve: Option<u16>,
    /// Where the page goes
    #[arg(long, value_name = "FOLDER")]
    dist: Option<PathBuf>,
}

/// Builds the page, and serves it until it is interrupted where that was asked for.
pub fn web(args: &WebArgs) -> Result<()> {
    let dist = match &args.dist {
        Some(folder) => std::path::absolute(folder)?,
        None => workspace_root().join("dist"),
    };
    build(&dist)?;
    println!("the page is in {}", dist.display());
    let Some(port) = args.serve else {
        return Ok(());
    };
    let server = Server::bind(dist, port)?;
    println!("serving it at {} (Ctrl-C ends this)", server.address());
    server.run()
}

/// Builds everything that `index.html` asks for into `dist`, which is replaced.
pub fn build(dist: &Path) -> Result<()> {
    let Some(toolchain) = wasm::Toolchain::find() else {
        bail!(
            "no toolchain here compiles to {} (try `cargo xtask setup`)",
            wasm::TARGET
        );
    };
    let bindgen = bindgen_program()?;
    let root = workspace_root();
    let source = fs::read_to_string(root.join("index.html")).context("index.html")?;
    let index = Index::parse(&source)?;

    // Not in `dist` before all is there: a failed build leaves the last page as it was.
    let staging = target_dir()?.join("web-dist");
    if staging.exists() {
        fs::remove_dir_all(&staging)?;
    }
    fs::create_dir_all(&staging)?;
    for link in &index.links {
        match link {
            Link::Rust(program) => bundle(program, &toolchain, &bindgen, &staging)?,
            Link::Css(path) | Link::File(path) => {
                let from = root.join(path);
                fs::copy(&from, staging.join(file_name(&from)?))
                    .with_context(|| format!("{path}, which index.html names"))?;
            }
            Link::Folder(path) => {
                let from = root.join(path);
                copy_folder(&from, &staging.join(file_name(&from)?))
                    .with_context(|| format!("{path}, which index.html names"))?;
            }
        }
    }
    fs::write(staging.join("index.html"), index.rewritten())?;
    if dist.exists() {
        ensure!(
            is_page(dist)?,
            "{} exists and holds no page, so it is not replaced; choose another folder",
            dist.display()
        );
        fs::remove_dir_all(dist)?;
    }
    copy_folder(&staging, dist)
}

/// Compiles one program and writes its JavaScript and WebAssembly into `out`.
fn bundle(
    program: &Program,
    toolchain: &wasm::Toolchain,
    bindgen: &Path,
    out: &Path,
) -> Result<()> {
    let profile = program.profile.as_deref().unwrap_or(PROFILE);
    let target = target_dir()?.join("web");
    let mut build = cargo(["build", "--target", wasm::TARGET]);
    build
        .args(["--manifest-path", &program.manifest])
        .args(["--profile", profile, "--bin", &program.bin])
        .args(["--features", &program.features])
        // A folder of its own: a native build need not wait for this one.
        .env("CARGO_TARGET_DIR", &target);
    if !program.default_features {
        build.arg("--no-default-features");
    }
    toolchain.apply(&mut build)?;
    ensure!(run(&mut build)?, "{} did not compile", program.bin);

    let wasm = target
        .join(wasm::TARGET)
        .join(profile)
        .join(format!("{}.wasm", program.bin));
    ensure!(
        run(Command::new(bindgen).arg(&wasm).arg(out))?,
        "wasm-bindgen rejects {} (is its version in xtask/bindgen/Cargo.toml the one in Cargo.lock?)",
        wasm.display()
    );
    Ok(())
}

/// Compiles `xtask/bindgen` where that has not been done.
pub fn bindgen_program() -> Result<PathBuf> {
    let target = target_dir()?.join("web-tools");
    let mut build = cargo(["build", "--release", "--locked", "--quiet"]);
    build
        .args(["--manifest-path", "xtask/bindgen/Cargo.toml"])
        .env("CARGO_TARGET_DIR", &target);
    ensure!(run(&mut build)?, "xtask/bindgen did not compile");
    Ok(target.join(format!(
        "release/noprop-bindgen{}",
        std::env::consts::EXE_SUFFIX
    )))
}

/// Whether `folder` is one that this task has made, or an empty one.
fn is_page(folder: &Path) -> Result<bool> {
    let empty = fs::read_dir(folder)
        .with_context(|| format!("{} is no folder", folder.display()))?
        .next()
        .is_none();
    Ok(empty || folder.join("index.html").is_file() && !folder.join("Cargo.toml").exists())
}

fn file_name(path: &Path) -> Result<&std::ffi::OsStr> {
    path.file_name()
        .with_context(|| format!("{} names no file", path.display()))
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_else_is_not_replaced() {
        assert!(!is_page(&workspace_root()).unwrap());
        assert!(!is_page(&workspace_root().join("xtask/src")).unwrap());
        assert!(is_page(&workspace_root().join("Cargo.toml")).is_err());
    }

    #[test]
    fn the_bindgen_version_is_the_locked_one() {
        let read = |path: &str| fs::read_to_string(workspace_root().join(path)).unwrap();
        let lock = read("Cargo.lock");
        let locked = lock
            .split("name = \"wasm-bindgen\"\nversion = \"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .expect("wasm-bindgen is locked");
        let wanted = format!("wasm-bindgen-cli-support = \"={locked}\"");
        assert!(
            read("xtask/bindgen/Cargo.toml").contains(&wanted),
            "xtask/bindgen/Cargo.toml should say {wanted}"
        );
    }
}
