//! The way in which a model is asked travels with its weights: from the recipe to `eval`, `predict` and `check`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use noprop_core::sampler::DDIM;
use noprop_core::{Classifier, Inference, Views, Walk};
use noprop_tests::command_line::{CPU, json, refuses, succeeds};
use noprop_tests::mnist_subset;

const RECIPE: &str = r#"
[model]
embed_dim = 8
[model.backbone]
kind = "cnn"
width = 2
dropout = 0.0
[model.head]
hidden = [8, 8]
[data]
limit = 192
validation = 0
[train]
epochs = 1
batch_size = 64
[eval]
sampler = "ddim"
steps = 4
temperature = 0.5
votes = 3
views = "flip-shift"
"#;

/// Trains in `at`, with these flags, and gives what the weights recommend.
fn recommended(at: &Path, run: &str, flags: &str) -> Inference {
    fs::write(at.join("r.toml"), RECIPE).unwrap();
    let args = format!("train --recipe r.toml --no-table --offline {CPU} --out {run} {flags}");
    succeeds(at, &args);
    let weights = fs::read(at.join(run).join("model.safetensors")).unwrap();
    let classifier = Classifier::load(weights, &Device::flex()).unwrap();
    classifier.inference()
}

#[test]
fn the_recipe_decides_unless_a_flag_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let walk = Walk {
        temperature: 0.5,
        ..Walk::new(DDIM, 4)
    };
    let expected = Inference {
        walk,
        votes: 3,
        views: Views::FlipShift,
    };
    assert_eq!(recommended(at, "run", ""), expected);
    let walk = Walk {
        temperature: 0.0,
        ..walk
    };
    let expected = Inference {
        walk,
        votes: 1,
        views: Views::Flip,
    };
    let flags = "--temperature 0 --votes 1 --views flip";
    assert_eq!(recommended(at, "mean", flags), expected);

    let eval = |flags: &str| {
        let args = format!("eval run --json --images 20 --offline {CPU} {flags}");
        json(at, &args)
    };
    let table = eval("");
    let rows = table["rows"].as_array().unwrap();
    let of = |row: &serde_json::Value| {
        let part = |key: &str| row[key].to_string();
        ["sampler", "steps", "temperature", "votes", "views"].map(part)
    };
    let asked = [r#""ddim""#, "4", "0.5", "3", r#""flip-shift""#];
    let own: Vec<_> = rows
        .iter()
        .filter(|row| row["recommended"] == true)
        .collect();
    assert_eq!(own.len(), 1);
    assert_eq!(of(own[0]), asked);
    // The accuracy at the end of the training.
    let log = fs::read_to_string(at.join("run/metrics.jsonl")).unwrap();
    let evaluated = log.lines().find(|line| line.contains("evaluated")).unwrap();
    let evaluated: serde_json::Value = serde_json::from_str(evaluated).unwrap();
    assert_eq!(of(&evaluated), asked);
    let all = format!("eval run --json --samplers ddim --steps 4 --offline {CPU}");
    let all = json(at, &all);
    let accuracy = &evaluated["accuracy"];
    let percent =
        100.0 * accuracy["correct"].as_f64().unwrap() / accuracy["total"].as_f64().unwrap();
    assert!((all["rows"][0]["accuracy"].as_f64().unwrap() - percent).abs() < 1e-9);

    let table =
        eval("--samplers ddim --steps 4 --temperature 0 --votes 1 --views none --repeats 3");
    let row = &table["rows"][0];
    assert_eq!(of(row), [r#""ddim""#, "4", "0.0", "1", r#""none""#]);
    assert_eq!(
        (&row["deterministic"], &row["recommended"]),
        (&true.into(), &false.into())
    );
    assert!(row["standard_error"].is_null());
    let text = format!(
        "eval run --samplers ddim,ancestral --steps 4 --images 20 --repeats 2 --offline {CPU}"
    );
    let (out, _) = succeeds(at, &text);
    for part in [
        "over noise seeds",
        "95 % interval for this test set",
        "ddim*",
        "flip-shift",
        "recommend",
    ] {
        assert!(out.contains(part), "{out}");
    }
    let (out, note) = succeeds(at, &format!("{text} --temperature 0"));
    assert!(
        out.contains("± –") && !note.contains("note:"),
        "{out}{note}"
    );
    let pointless = format!(
        "eval run --samplers ddim --steps 4 --images 20 --offline {CPU} --temperature 0 --votes 9"
    );
    assert!(
        succeeds(at, &pointless)
            .1
            .contains("9 votes change nothing")
    );

    predicts_as_the_library(at);
    let (out, _) = succeeds(
        at,
        "check --weights run --images 20 --devices cpu --offline --json --out check --threads 1",
    );
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["temperature"], 0.5);
    let walks = report["devices"][0]["walks"].as_array().unwrap();
    assert!(
        walks
            .iter()
            .any(|walk| walk["sampler"] == "ddim" && walk["steps"] == 4)
    );
}

/// `predict` gives the probabilities of the classifier, as the weights in `at` recommend.
fn predicts_as_the_library(at: &Path) {
    let pixels = mnist_subset(1).unwrap().test.image(0).to_vec();
    let image = image::GrayImage::from_raw(28, 28, pixels.clone()).unwrap();
    image.save(at.join("digit.png")).unwrap();
    let predict = |flags: &str| json(at, &format!("predict run digit.png --json {CPU} {flags}"));
    let weights = fs::read(at.join("run/model.safetensors")).unwrap();
    let classifier = Classifier::load(weights, &Device::flex()).unwrap();
    let expected = classifier.classify(&pixels).unwrap().probabilities;
    let out = predict("");
    assert_eq!(
        (&out["votes"], &out["views"]),
        (&3.into(), &"flip-shift".into())
    );
    let found = out["probabilities"].as_array().unwrap();
    for (a, b) in found.iter().zip(&expected) {
        assert!(
            (a.as_f64().unwrap() - f64::from(*b)).abs() < 1e-6,
            "{a} {b}"
        );
    }
    let from_mean =
        |seed| predict(&format!("--temperature 0 --seed {seed}"))["probabilities"].clone();
    assert_eq!(from_mean(1), from_mean(2));
    let walked = predict("--walk");
    assert_eq!(walked["walk"].as_array().unwrap().len(), 5);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("r.toml"), RECIPE).unwrap();
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/mnist.safetensors");
    let weights = weights.display();
    let train = "train --recipe r.toml --show-recipe";
    for wrong in ["4.5", "-1", "nan", "warm"] {
        let flag = format!("--temperature={wrong}");
        let says = ["0", "4"];
        refuses(at, &format!("{train} {flag}"), &says);
        refuses(at, &format!("eval {weights} --offline {flag}"), &says);
        refuses(at, &format!("predict {weights} x.png {flag}"), &says);
        refuses(at, &format!("check --offline {flag}"), &says);
    }
    let set = format!("{train} --set eval.temperature=5");
    refuses(
        at,
        &set,
        &["eval.temperature", "0 (walks start from the mean) to 4"],
    );
    refuses(
        at,
        &format!("{train} --views mirror"),
        &["mirror", "flip-shift"],
    );
    refuses(
        at,
        &format!("{train} --set eval.views=mirror"),
        &["mirror", "flip-shift"],
    );
    let (recipe, _) = succeeds(
        at,
        &format!("{train} --temperature 0 --views shift --votes 2"),
    );
    for line in ["temperature = 0.0", "views = \"shift\"", "votes = 2"] {
        assert!(recipe.contains(line), "{recipe}");
    }
}
