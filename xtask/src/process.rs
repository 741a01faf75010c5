//! Running other programs: every command is shown, and every command that may wait for a network has a time limit.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The path of a program in `PATH`.
pub use noprop_browser::find_program as which;

/// The workspace's root folder.
///
/// `cargo run` names the package in an environment variable. If the program is started by hand, the path known at
/// compile time is used.
pub fn workspace_root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package
        .parent()
        .map_or_else(|| package.clone(), Path::to_path_buf)
}

/// Cargo's target folder, as an absolute path.
pub fn target_dir() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => Ok(std::path::absolute(dir)?),
        None => Ok(workspace_root().join("target")),
    }
}

/// A `cargo` command in the workspace's root, without the environment variables that the `cargo run` around this
/// program has set.
///
/// The program is looked up in `PATH` and not taken from `$CARGO`: only rustup's proxy reads `RUSTUP_TOOLCHAIN`, which
/// the wasm32 step may need.
pub fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(workspace_root());
    for (key, _) in env::vars_os() {
        if key.to_str().is_some_and(set_by_cargo_run) {
            command.env_remove(key);
        }
    }
    if let Ok(dir) = target_dir() {
        command.env("CARGO_TARGET_DIR", dir);
    }
    command
}

fn set_by_cargo_run(key: &str) -> bool {
    key == "CARGO" || key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_")
}

/// Shows a command and runs it with our own stdin, stdout and stderr. Returns whether it succeeded.
pub fn run(command: &mut Command) -> Result<bool> {
    println!("$ {}", display(command));
    let status = command.status().with_context(|| cannot_start(command))?;
    Ok(status.success())
}

/// Shows and runs a command like [`run`], but ends the program after `limit` and reports that as an error.
pub fn run_bounded(command: &mut Command, limit: Duration) -> Result<bool> {
    println!("$ {}   (at most {} s)", display(command), limit.as_secs());
    command.stdin(Stdio::null());
    Ok(wait_bounded(command, limit)?.success())
}

fn wait_bounded(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| cannot_start(command))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() >= limit {
            // The child may have ended by itself in between; in both cases it has ended afterwards.
            let _ = child.kill();
            child.wait()?;
            bail!(
                "`{}` did not finish within {} s",
                display(command),
                limit.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a command silently, and returns its stdout if it succeeded.
pub fn capture(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", command.get_program().to_string_lossy())
}

fn display(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_whole_command() {
        assert_eq!(display(&cargo(["doc", "--no-deps"])), "cargo doc --no-deps");
    }

    #[test]
    fn forgets_the_surrounding_cargo_run_only() {
        assert!(set_by_cargo_run("CARGO_PKG_NAME"));
        assert!(set_by_cargo_run("CARGO_MANIFEST_DIR"));
        assert!(!set_by_cargo_run("CARGO_HOME"));
        assert!(!set_by_cargo_run("CARGO_TARGET_DIR"));
    }

    #[cfg(unix)]
    #[test]
    fn a_slow_program_is_ended() {
        let start = Instant::now();
        let result = wait_bounded(Command::new("sleep").arg("30"), Duration::from_millis(100));
        assert!(result.is_err());
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
