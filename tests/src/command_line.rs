//! The program `noprop` as a user runs it, in a folder of the test.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::program;

/// The flags for numbers that do not depend on the machine.
pub const CPU: &str = "--device cpu --threads 1";

/// The command `noprop ARGS` in `folder`, with an empty cache in that folder.
pub fn noprop(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(program().unwrap());
    command
        .current_dir(folder)
        .env("NOPROP_CACHE_DIR", folder.join("cache"))
        .args(args.split_whitespace());
    command
}

/// Runs `noprop ARGS`, which must succeed. Returns standard output and standard error.
pub fn succeeds(folder: &Path, args: &str) -> (String, String) {
    let assert = noprop(folder, args).assert().success();
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs `noprop ARGS`, which must succeed. Returns the JSON object on standard output.
pub fn json(folder: &Path, args: &str) -> Value {
    serde_json::from_str(&succeeds(folder, args).0).unwrap()
}

/// Runs `noprop ARGS`, which must fail with a message that contains each of `expected`.
pub fn refuses(folder: &Path, args: &str, expected: &[&str]) {
    let assert = noprop(folder, args).assert().failure();
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    for part in expected {
        assert!(stderr.contains(part), "{args}: no {part:?} in\n{stderr}");
    }
    assert!(!stderr.contains("panicked"), "{args}:\n{stderr}");
}
