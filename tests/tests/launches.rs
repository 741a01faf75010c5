//! The number of kernels that a GPU is asked to run for a training step and for a walk. A launch costs some
//! microseconds whatever it computes, so on small networks the number of launches determines the time.
//!
//! The test runs on a software Vulkan driver, so that it needs no GPU.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use noprop_tests::command_line::noprop;
use noprop_tests::has_software_vulkan;
use serde_json::Value;

const RECIPE: &str = r#"
[model]
embed_dim = 16
time_dim = 8
backbone = { kind = "resnet", depth = 10, stem = "strided", width = 4 }
head = { hidden = [16, 16] }
"#;

/// The measured number of launches of a training step of the ResNet-10 above (56 tensors of parameters); [`WALK`] is
/// that of the walks of a batch, Heun with T = 6. Both may fall. A rise by more than a tenth means that operations are
/// no longer fused, or that something is computed twice.
const STEP: f64 = 624.0;
const WALK: f64 = 408.0;

#[test]
fn launches_do_not_multiply() {
    if !has_software_vulkan("kernel launches") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.toml"), RECIPE).unwrap();
    let what = "bench --recipe tiny.toml --device wgpu:0 --batch-size 4 --images 4 --json \
                --measure step,solve --steps 6 --warm-up 1 --repeats 1";
    let output = noprop(folder.path(), what)
        // It does not matter here which kernel is fastest, and finding out takes minutes.
        .env("CUBECL_AUTOTUNE_LEVEL", "minimal")
        .assert()
        .success();
    let report: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    // `solve` is timed twice: with the features, and the walks alone.
    let launches = |i: usize| report["timings"][i]["launches"][0].as_f64().unwrap();
    for (what, count, limit) in [("step", launches(0), STEP), ("walk", launches(2), WALK)] {
        println!("a {what}: {count} launches");
        assert!(count > 0.0 && count <= 1.1 * limit, "{what}: {count}");
    }
}
