//! Fractions of a training, votes over several walks, and the paper's table, end to end on the embedded subset.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use noprop_tests::command_line::{CPU, json, refuses, succeeds};
use noprop_tests::mnist_subset;
use serde_json::Value;

/// A recipe with a thousand epochs of 5 steps.
const RECIPE: &str = r#"
[model]
embed_dim = 16
time_dim = 16
[model.backbone]
kind = "cnn"
width = 4
dropout = 0.1
[model.head]
hidden = [16, 16]
[data]
limit = 320
validation = 0
[train]
epochs = 1000
batch_size = 64
[eval]
sampler = "ddim"
steps = 2
every = 1000
"#;

fn summary(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap()
}

#[test]
fn a_training_ends_when_its_time_is_spent() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("r.toml"), RECIPE).unwrap();
    let train = |flags: &str| format!("train --recipe r.toml --no-table --offline {CPU} {flags}");

    let (out, _) = succeeds(at, &train("--budget 1s --out timed"));
    assert!(out.contains("the budget is spent"), "{out}");
    let spent = summary(&at.join("timed"));
    assert_eq!(spent["complete"], true);
    let epochs = spent["epochs"].as_f64().unwrap();
    assert!(epochs > 0.0 && epochs < 1000.0, "{spent}");
    assert!(spent["seconds"].as_f64().unwrap() > 0.0, "{spent}");
    assert!(at.join("timed/model.safetensors").is_file());

    succeeds(at, &train("--budget 2 --out counted"));
    let counted = summary(&at.join("counted"));
    assert_eq!(
        (&counted["epochs"], &counted["steps"]),
        (&2.0.into(), &10.into())
    );

    refuses(
        at,
        &train("--budget 2 --epochs 3 --out x"),
        &["cannot be used with"],
    );
    refuses(at, &train("--budget 0s --out x"), &["nothing"]);
    refuses(
        at,
        &train("--budget soon --out x"),
        &["soon", "epochs", "10m"],
    );
    refuses(at, &train("--embedding big --out x"), &["big", "dim20"]);

    votes_are_averaged(at);
}

/// Checks votes on a trained run in `at`.
fn votes_are_averaged(at: &Path) {
    let table = json(
        at,
        &format!(
            "eval counted --json --votes 4 --samplers ddim --steps 2 --images 50 --offline {CPU}"
        ),
    );
    assert_eq!(table["votes"], 4);
    let image = mnist_subset(1000).unwrap().test.image(0).to_vec();
    let file = at.join("digit.png");
    let image = image::GrayImage::from_raw(28, 28, image).unwrap();
    image.save(&file).unwrap();
    let predict = |flags: &str| {
        let out = json(
            at,
            &format!("predict counted digit.png --json {flags} {CPU}"),
        );
        let row = out["probabilities"].as_array().unwrap().clone();
        row.iter().map(|p| p.as_f64().unwrap()).collect::<Vec<_>>()
    };
    let alone = [
        predict("--seed 5"),
        predict("--seed 6"),
        predict("--seed 7"),
    ];
    let together = predict("--seed 5 --votes 3");
    for (class, &mean) in together.iter().enumerate() {
        let expected = alone.iter().map(|one| one[class]).sum::<f64>() / 3.0;
        // The tolerance covers three roundings of f32.
        assert!((mean - expected).abs() < 1e-6, "{mean} {expected}");
    }
}

#[test]
fn a_row_of_the_table_stands_beside_the_papers() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let row = "reproduce table1 --methods ct --embeddings one-hot --seeds 1 --repeats 2 --budget 1 --limit 1300 \
               --images 40 --steps 3 --out table --offline --set method.max_snr=1";
    let (first, _) = succeeds(at, &format!("{row} {CPU}"));
    let written = fs::read_to_string(at.join("table/table1.md")).unwrap();
    assert!(first.contains(&written), "{first}");
    let line = written.lines().last().unwrap();
    for part in [
        "NoProp-CT",
        "one-hot",
        "97.88 ± 0.61",
        "97.84 ± 0.71",
        "1.0 of 100",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert!(written.contains("method.max_snr=1;"), "{written}");
    let run = at.join("table/mnist/paper-ct-one-hot-seed0");
    let recipe = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(recipe.contains("max_snr = 1.0"), "{recipe}");
    // A run that is trained already is not trained again.
    let weights = run.join("model.safetensors");
    let before = fs::metadata(&weights).unwrap().modified().unwrap();
    let (_, stderr) = succeeds(at, &format!("{row} {CPU}"));
    assert!(stderr.contains("is trained already"), "{stderr}");
    assert_eq!(fs::metadata(&weights).unwrap().modified().unwrap(), before);
    assert_eq!(
        fs::read_to_string(at.join("table/table1.md")).unwrap(),
        written
    );

    refuses(
        at,
        "reproduce table1 --dataset fashion-mnist",
        &["cifar100", "fashion-mnist"],
    );
    refuses(at, "reproduce table1 --methods dx", &["dx", "ct"]);
    refuses(at, "reproduce table1 --embeddings dim7", &["no such row"]);
}
