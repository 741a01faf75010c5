//! `noprop check`: the bundled weights give the same numbers on every device of this machine.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use assert_cmd::Command;
use noprop_tests::{has_software_vulkan, program};
use serde_json::Value;

fn check(devices: &str, images: &str) -> Value {
    let scratch = tempfile::tempdir().unwrap();
    let output = Command::new(program().unwrap())
        .args(["check", "--offline", "--json", "--devices", devices])
        .args(["--images", images, "--out"])
        .arg(scratch.path().join("check"))
        .env("NOPROP_CACHE_DIR", scratch.path())
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let report: Value = serde_json::from_slice(&output).unwrap();
    let written = std::fs::read(scratch.path().join("check/check.json")).unwrap();
    assert_eq!(report, serde_json::from_slice::<Value>(&written).unwrap());
    assert!(scratch.path().join("check/check.md").is_file());
    report
}

#[test]
fn the_cpu_agrees_with_itself_and_knows_its_digits() {
    let report = check("cpu", "500");
    assert_eq!(report["passed"], true);
    for walk in report["devices"][0]["walks"].as_array().unwrap() {
        // The recorded run has 99.0 % on all of MNIST. Of a million random choices of 500 images, none had fewer than
        // 97 %.
        assert!(walk["accuracy"].as_f64().unwrap() > 97.0, "{walk}");
    }
}

#[test]
fn a_wgpu_adapter_agrees_with_the_cpu() {
    if !has_software_vulkan("check of a wgpu adapter") {
        return;
    }
    let report = check("wgpu:0", "32");
    let devices = report["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2);
    for walk in devices[1]["walks"].as_array().unwrap() {
        assert_eq!(walk["agreeing"], 32, "{walk}");
        let far = walk["latents"]["max"].as_f64().unwrap();
        assert!(far > 0.0 && far < 1e-3, "{walk}");
    }
}
