//! The browser tests: `tests/e2e`, run by node in headless Chromium against a fresh `dist/`.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::process::{capture, cargo, run, run_bounded, target_dir, which, workspace_root};
use crate::wasm;
use crate::web::{self, Server};

const NPM_LIMIT: Duration = Duration::from_secs(180);
const TEST_LIMIT: Duration = Duration::from_secs(1200);

/// A browser of Chromium's kind: the one that `NOPROP_BROWSER` names, or one in `PATH`.
pub fn find() -> Option<PathBuf> {
    match env::var_os("NOPROP_BROWSER") {
        Some(path) => Some(PathBuf::from(path)).filter(|path| path.is_file()),
        None => ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find_map(which),
    }
}

/// What the browser tests lack here, if anything.
pub fn missing() -> Option<String> {
    let why = if wasm::Toolchain::find().is_none() {
        format!("no toolchain here compiles to {}", wasm::TARGET)
    } else if which("node").is_none() {
        "node is missing".to_owned()
    } else if find().is_none() {
        "no Chromium was found".to_owned()
    } else if !driver().is_dir() {
        "tests/e2e/node_modules is missing".to_owned()
    } else {
        return None;
    };
    Some(format!("{why} (try `cargo xtask setup`)"))
}

/// Builds page and command line, serves the page, and runs the tests; says whether they passed.
pub fn test() -> Result<bool> {
    let dist = workspace_root().join("dist");
    web::build(&dist)?;
    ensure!(
        run(&mut cargo(["build", "--release"]))?,
        "the command line did not compile"
    );
    let server = Server::bind(dist, 0)?;
    let address = server.address();
    thread::spawn(move || server.run());

    let mut node = Command::new("node");
    node.args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
        .current_dir(folder())
        .env("NOPROP_URL", address)
        .env("CARGO_TARGET_DIR", target_dir()?);
    if let Some(browser) = find() {
        node.env("NOPROP_BROWSER", browser);
    }
    Ok(run_bounded(&mut node, TEST_LIMIT)? && side_by_side()?)
}

/// The command line's own comparison of the browser with the CPU.
fn side_by_side() -> Result<bool> {
    let program = target_dir()?
        .join("release")
        .join(format!("noprop{}", env::consts::EXE_SUFFIX));
    let mut check = Command::new(program);
    check
        .args(["check", "--browser", "--devices", "cpu", "--offline"])
        .args(["--images", "50", "--out"])
        .arg(target_dir()?.join("check"))
        .current_dir(workspace_root());
    if let Some(browser) = find() {
        check.arg("--browser-program").arg(browser);
    }
    run_bounded(&mut check, TEST_LIMIT)
}

/// Installs what drives the browser, from the lock file.
pub fn install_driver() -> Result<String> {
    if driver().is_dir() {
        return Ok("present".to_owned());
    }
    // On Windows npm is a script, which has to be named in full.
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    ensure!(
        capture(Command::new(npm).arg("--version")).is_some(),
        "missing; install node 20.15 or newer, with npm"
    );
    let mut install = Command::new(npm);
    install
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(folder());
    ensure!(
        run_bounded(&mut install, NPM_LIMIT)?,
        "npm could not install tests/e2e"
    );
    Ok("installed".to_owned())
}

fn folder() -> PathBuf {
    workspace_root().join("tests/e2e")
}

fn driver() -> PathBuf {
    folder().join("node_modules/playwright-core")
}
