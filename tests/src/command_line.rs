//! `noprop` as a user runs it, in a folder of the test's own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::program;

/// Flags for numbers that do not depend on the machine.
pub const CPU: &str = "--device cpu --threads 1";

/// `noprop ARGS` in `folder`, with an empty cache there.
pub fn noprop(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(program().unwrap());
    command
        .current_dir(folder)
        .env("NOPROP_CACHE_DIR", folder.join("cache"))
        .args(args.split_whitespace());
    command
}

/// Standard output and standard error of a run that succeeds.
pub fn succeeds(folder: &Path, args: &str) -> (String, String) {
    let assert = noprop(folder, args).assert().success();
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The object on standard output of a run that succeeds.
pub fn json(folder: &Path, args: &str) -> Value {
    serde_json::from_str(&succeeds(folder, args).0).unwrap()
}

/// The run fails and says `expected`.
pub fn refuses(folder: &Path, args: &str, expected: &[&str]) {
    let assert = noprop(folder, args).assert().failure();
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    for part in expected {
        assert!(stderr.contains(part), "{args}: no {part:?} in\n{stderr}");
    }
    assert!(!stderr.contains("panicked"), "{args}:\n{stderr}");
}
