//! The program end to end on the embedded subset, and its error messages.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use noprop_tests::command_line::{CPU, json, noprop, refuses, succeeds};
use noprop_tests::mnist_subset;
use serde_json::Value;
use tempfile::TempDir;

const RECIPE: &str = r#"
[model]
embed_dim = 16
time_dim = 16
[model.backbone]
kind = "resnet"
depth = 10
stem = "strided"
width = 4
[model.head]
hidden = [16, 16]
[method]
kind = "ct"
[method.schedule]
kind = "learned"
gamma_0 = -5.0
gamma_1 = 5.0
[data]
limit = 3300
validation = 100
[train]
epochs = 2
batch_size = 64
lr = 1e-2
lr_schedule = "one-cycle"
[eval]
steps = 5
"#;

/// A folder with one trained run in `run`. The tests share it and only read it.
fn trained() -> &'static Path {
    static FOLDER: OnceLock<(TempDir, String)> = OnceLock::new();
    let (folder, stderr) = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("r.toml"), RECIPE).unwrap();
        let args = format!("train --recipe r.toml --out run --no-table --offline {CPU}");
        let assert = noprop(folder.path(), &args).assert().success();
        let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        (folder, stderr)
    });
    assert!(
        stderr.contains("WARNING") && stderr.contains("embedded subset of 6000"),
        "{stderr}"
    );
    folder.path()
}

#[test]
fn a_run_leaves_a_complete_folder() {
    let run = trained().join("run");
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains("one-cycle"), "{config}");
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let events: Vec<Value> = metrics
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for name in ["started", "epoch", "evaluated", "checkpointed", "finished"] {
        assert!(events.iter().any(|e| e["event"] == name), "no {name}");
    }
    assert_eq!(fs::read_dir(run.join("checkpoints")).unwrap().count(), 2);
    assert!(run.join("model.safetensors").is_file());
}

#[test]
fn eval_is_far_above_chance() {
    let args =
        format!("eval run --json --samplers ddim,heun --steps 2,5 --images 200 --offline {CPU}");
    let table = json(trained(), &args);
    assert_eq!(table["images"], 200);
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        // Chance is 10 %, with a standard deviation of 2.1 % on 200 images.
        assert!(row["accuracy"].as_f64().unwrap() >= 30.0, "{row}");
    }
}

#[test]
fn predict_gives_probabilities() {
    let dataset = mnist_subset(1000).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("digit.png");
    let pixels = dataset.test.image(0).to_vec();
    image::GrayImage::from_raw(28, 28, pixels)
        .unwrap()
        .save(&file)
        .unwrap();
    let predict = |flags: &str| {
        let args = format!("predict run {} --json --walk {flags} {CPU}", file.display());
        json(trained(), &args)
    };
    let out = predict("--sampler ddim --steps 10 --picture walk.svg");
    let walk = out["walk"].as_array().unwrap();
    assert_eq!(walk.len(), 11);
    for row in walk.iter().chain([&out["probabilities"]]) {
        let row = row.as_array().unwrap();
        let sum: f64 = row.iter().map(|p| p.as_f64().unwrap()).sum();
        // The tolerance covers ten roundings of f32.
        assert!(row.len() == 10 && (sum - 1.0).abs() < 1e-5, "{sum}");
    }
    let picture = fs::read_to_string(trained().join("walk.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("step 10 of 10"));
    // The walk that the weights recommend where none is asked for: the method's sampler, and T of the recipe.
    let out = predict("");
    assert_eq!(
        (&out["sampler"], &out["steps"]),
        (&"heun".into(), &5.into())
    );
    assert_eq!(out["walk"].as_array().unwrap().len(), 6);
}

#[test]
fn recipes_are_listed_and_printed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let list = json(at, "recipes --json");
    let recipes = list["recipes"].as_array().unwrap();
    assert!(recipes.iter().any(|recipe| recipe["name"] == "mnist-small"));
    let (text, _) = succeeds(at, "recipes");
    assert_eq!(text.lines().count(), recipes.len());
    let (file, _) = succeeds(at, "recipes paper-dt");
    fs::write(at.join("mine.toml"), file).unwrap();
    let (shown, _) = succeeds(at, "train --recipe mine.toml --show-recipe --lr 0.5");
    assert!(
        shown.contains("kind = \"dt\"") && shown.contains("lr = 0.5"),
        "{shown}"
    );
    refuses(at, "recipes paper-d", &["did you mean", "paper-dt"]);
}

#[test]
fn devices_and_data_are_described() {
    let folder = tempfile::tempdir().unwrap();
    assert!(json(folder.path(), "devices --json")["auto"].is_string());
    let data = json(folder.path(), "data --json --offline");
    assert_eq!(data["train"]["images"], 6000);
    assert_eq!(data["test"]["images"], 1000);
}

#[test]
fn a_wrong_command_line_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("typo.toml"), "[train]\nepoch = 3\n").unwrap();
    refuses(at, "eval run --steps 0", &["at least 1"]);
    refuses(at, "eval nowhere --device cpu", &["nowhere", "run folder"]);
    if json(at, "devices --json")["cuda_built_in"] == false {
        refuses(at, "train --offline --device cuda", &["--features cuda"]);
    }
    refuses(
        at,
        "train --recipe mnist-smal",
        &["did you mean", "mnist-small"],
    );
    refuses(at, "train --recipe typo.toml", &["did you mean `epochs`"]);
    refuses(
        at,
        "train --set train.epoch=3",
        &["--set", "did you mean `epochs`"],
    );
    refuses(at, "train --epochs three", &["--epochs", "whole number"]);
    refuses(at, "predict run x.png --sampler hewn", &["heun", "ddim"]);
    fs::create_dir(at.join("empty")).unwrap();
    refuses(at, "train --resume empty", &["no run folder"]);
}

#[test]
fn a_wrong_file_is_explained() {
    let run = trained();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let out = run.join("run");
    let out = out.display();
    refuses(
        run,
        &format!("train --recipe r.toml --out run --offline {CPU}"),
        &["--resume", "--force"],
    );

    let whole = fs::read(run.join("run/model.safetensors")).unwrap();
    for (name, length) in [("half", whole.len() / 2), ("header", 100), ("empty", 0)] {
        let file = format!("{name}.safetensors");
        fs::write(at.join(&file), &whole[..length]).unwrap();
        refuses(
            at,
            &format!("eval {file} --offline {CPU}"),
            &[&file, "cannot be used"],
        );
    }

    fs::create_dir(at.join("data")).unwrap();
    for name in [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ] {
        // The header announces more than the file holds.
        fs::write(at.join("data").join(name), [0, 0, 8, 3, 0, 0]).unwrap();
    }
    refuses(at, "data --data-root data", &["train-images-idx3-ubyte"]);
    refuses(
        at,
        "data --data-root data --allow-unverified",
        &["train-images-idx3-ubyte"],
    );

    fs::write(at.join("text.png"), "no picture").unwrap();
    refuses(at, &format!("predict {out} data {CPU}"), &["directory"]);
    refuses(
        at,
        &format!("predict {out} text.png {CPU}"),
        &["PNG, JPEG, WebP or BMP image"],
    );
}

const BLOCKS: &str = r#"
[model]
embed_dim = 8
[model.backbone]
kind = "cnn"
width = 2
dropout = 0.2
[model.head]
hidden = [8, 8]
batch_norm = true
[method]
kind = "dt"
steps = 3
[data]
limit = 128
validation = 0
[train]
epochs = 1
batch_size = 64
[eval]
sampler = "ancestral"
steps = 3
"#;

#[test]
fn blocks_are_trained_apart_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("dt.toml"), BLOCKS).unwrap();
    let train = |flags: &str| {
        let args = format!("train --recipe dt.toml --offline {CPU} {flags}");
        succeeds(at, &args).0
    };
    train("--out whole");
    assert!(train("--blocks 1 --out a").contains("noprop merge"));
    train("--blocks 2-3 --out b");
    succeeds(at, "merge b a --out dt.safetensors");
    let bytes = |path: &str| fs::read(at.join(path)).unwrap();
    // The files are equal to the bit, with their metadata.
    assert!(bytes("dt.safetensors") == bytes("whole/model.safetensors"));

    let args = format!("eval dt.safetensors --json --ablate --images 20 --offline {CPU}");
    let table = json(at, &args);
    let ablations = table["ablations"].as_array().unwrap();
    assert_eq!(ablations.len(), 2);
    for kind in [
        "accuracy",
        "swapped_latents",
        "zero_latents",
        "from_noise",
        "from_mean",
        "without_walk",
        "random_images",
    ] {
        let percent = ablations[0][kind].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&percent), "{kind}: {percent}");
    }
    // One vote at temperature 1 is what the row itself has.
    assert_eq!(ablations[0]["accuracy"], ablations[0]["from_noise"]);
    let rows = table["rows"].as_array().unwrap();
    let names: Vec<_> = rows
        .iter()
        .map(|row| (&row["sampler"], &row["steps"]))
        .collect();
    assert_eq!(
        names,
        [
            (&"ddim".into(), &3.into()),
            (&"ancestral".into(), &3.into())
        ]
    );

    let eval = |flags: &str| format!("eval dt.safetensors --offline {CPU} {flags}");
    refuses(
        at,
        &eval("--steps 3,40"),
        &["3 blocks", "T = 40 was asked for", "without --steps"],
    );
    refuses(at, &eval("--samplers heun"), &["ddim or ancestral"]);
    refuses(
        at,
        &format!("eval a --offline {CPU}"),
        &["only blocks 1-1 of 1-3", "noprop merge"],
    );
    refuses(at, "merge a a --out c", &["block 1 is in both a and a"]);
    refuses(at, "merge a whole --out c", &["block 1 is in both"]);
    train("--blocks 3 --out late");
    refuses(at, "merge a late --out c", &["block 2 of 3 is in no part"]);
    train("--blocks 2-3 --lr 0.5 --out other");
    refuses(at, "merge a other --out c", &["different recipes"]);
    refuses(
        at,
        "merge a other/model.safetensors --out c",
        &["different output heads"],
    );
    refuses(at, "merge a --out c", &["2 values required"]);
    assert!(!at.join("c").exists());
    let wrong = |flags: &str| format!("train --recipe {flags} --offline {CPU}");
    refuses(at, &wrong("dt.toml --blocks 2-4"), &["blocks 1-3"]);
    refuses(at, &wrong("dt.toml --blocks 0-1"), &["counted from 1"]);
    refuses(at, &wrong("mnist-small --blocks 1-2"), &["paper-dt"]);
}

#[test]
fn a_reader_that_stops_early_ends_the_program_quietly() {
    for args in ["data list", "train --show-recipe", "data list --json"] {
        let (reader, writer) = std::io::pipe().unwrap();
        // Nobody reads, so the first write fails, whenever it happens.
        drop(reader);
        let output = std::process::Command::new(noprop_tests::program().unwrap())
            .args(args.split_whitespace())
            .stdout(writer)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(141), "{args}: {stderr}");
        assert_eq!(stderr, "", "{args}");
    }
}

#[test]
fn a_training_outlives_the_readers_of_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("r.toml"), RECIPE).unwrap();
    let closed = || std::io::pipe().unwrap().1;
    let args = format!(
        "train --recipe r.toml --limit 400 --epochs 1 --no-table --offline {CPU} --out run"
    );
    let status = std::process::Command::new(noprop_tests::program().unwrap())
        .current_dir(at)
        .env("NOPROP_CACHE_DIR", at.join("cache"))
        .args(args.split_whitespace())
        .stdout(closed())
        .stderr(closed())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(at.join("run/model.safetensors").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(noprop_tests::program().unwrap())
        .args(["data", "list"])
        .stdout(full)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.starts_with("error: standard output cannot be written"),
        "{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
}
