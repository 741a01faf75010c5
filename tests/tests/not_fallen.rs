//! A training whose loss stays finite and does not fall is warned of.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use noprop_tests::command_line::{CPU, succeeds};

const RECIPE: &str = r#"
[method]
kind = "ct"
loss = "cross-entropy"
weight = "flat"
schedule = { kind = "linear", gamma_0 = -4.0, gamma_1 = 4.0 }
[model]
embed_dim = 8
[model.backbone]
kind = "cnn"
width = 2
dropout = 0.0
[model.head]
hidden = [8, 8]
[data]
limit = 640
validation = 0
[train]
epochs = 3
batch_size = 16
[eval]
sampler = "ddim"
steps = 1
every = 3
"#;

#[test]
fn a_loss_that_does_not_fall_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("r.toml"), RECIPE).unwrap();
    let train = |lr: &str| {
        let args = format!("train --recipe r.toml --lr {lr} --out {lr} --no-table --offline {CPU}");
        let (_, stderr) = succeeds(at, &args);
        let log = fs::read_to_string(at.join(lr).join("metrics.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        (stderr, lines.collect::<Vec<serde_json::Value>>())
    };
    let is_warning = |line: &&serde_json::Value| line["event"] == "not_fallen";
    let (stderr, log) = train("10");
    let warnings: Vec<_> = log.iter().filter(is_warning).collect();
    // One for each epoch from the second on.
    let epochs: Vec<_> = warnings.iter().map(|line| &line["epoch"]).collect();
    assert_eq!(epochs, [2, 3]);
    for line in warnings {
        assert!(line["loss"].as_f64().unwrap() > line["first"].as_f64().unwrap());
    }
    assert!(stderr.contains("a smaller --lr may help"), "{stderr}");

    let (stderr, log) = train("3e-3");
    assert_eq!(log.iter().filter(is_warning).count(), 0);
    assert!(!stderr.contains("warning"), "{stderr}");
    // The first step of the log is the one that the epochs are compared with.
    let first = log.iter().find(|line| line["event"] == "step").unwrap();
    let epoch = log.iter().find(|line| line["event"] == "epoch").unwrap();
    assert_eq!(first["step"], 1);
    let (found, expected) = (&epoch["first_loss"], &first["loss"]["total"]);
    assert!((found.as_f64().unwrap() - expected.as_f64().unwrap()).abs() < 1e-4);
}
