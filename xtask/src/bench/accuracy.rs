//! The seconds of training until 97, 98 and 99 % of MNIST's test images are classified rightly.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::side::pinned;
use crate::process;

const PERCENT: [f64; 3] = [97.0, 98.0, 99.0];
/// The recipe of `noprop train` without flags.
const RECIPE: &str = "mnist-small";

/// The times of one training.
pub struct Seconds {
    pub name: String,
    /// The seconds until 97, 98 and 99 % are right, if they were reached.
    pub to_percent: [Option<f64>; 3],
    /// The seconds of the whole training.
    pub trained: f64,
}

/// An evaluation: the seconds of training before it, and the percentage of images that are right.
#[derive(Deserialize)]
struct Point {
    seconds: f64,
    percent: f64,
}

/// Trains our default recipe and the unchanged reference, in turns, each with `seeds` seeds. A training of the
/// reference ends after `give_up` seconds.
///
/// # Errors
/// When a training fails.
pub fn measure(
    noprop: &Path,
    python: &Path,
    data: &Path,
    threads: usize,
    seeds: u64,
    give_up: u32,
) -> Result<Vec<Seconds>> {
    let mut rows = Vec::new();
    for seed in (0..seeds).map(|seed| seed.to_string()) {
        let points = ours(noprop, data, &seed, threads)?;
        rows.push(seconds(format!("ours, {RECIPE}, seed {seed}"), &points));
        let points = theirs(python, data, &seed, threads, give_up)?;
        rows.push(seconds(
            format!("PyTorch, as the reference, seed {seed}"),
            &points,
        ));
    }
    Ok(rows)
}

fn seconds(name: String, points: &[Point]) -> Seconds {
    let first = |percent| points.iter().find(|point| point.percent >= percent);
    Seconds {
        name,
        to_percent: PERCENT.map(|percent| first(percent).map(|point| point.seconds)),
        trained: points.last().map_or(0.0, |point| point.seconds),
    }
}

fn ours(noprop: &Path, data: &Path, seed: &str, threads: usize) -> Result<Vec<Point>> {
    let run = process::target_dir()?.join("bench-run");
    let mut command = pinned(noprop, threads);
    command.args([
        "train",
        "--recipe",
        RECIPE,
        "--seed",
        seed,
        "--no-table",
        "--force",
    ]);
    command.args(["--device", "cpu", "--threads", &threads.to_string()]);
    command.arg("--data-root").arg(data).arg("--out").arg(&run);
    if !process::run(&mut command)? {
        bail!("the training of {RECIPE} failed");
    }
    let log = run.join("metrics.jsonl");
    points_of_log(&fs::read_to_string(&log).with_context(|| log.display().to_string())?)
}

/// The evaluations in our log. The clock of the log goes on during an evaluation; that time is subtracted.
fn points_of_log(log: &str) -> Result<Vec<Point>> {
    let (mut points, mut evaluating, mut before) = (Vec::new(), 0.0, 0.0);
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line)?;
        let seconds = event["seconds"]
            .as_f64()
            .context("an event without seconds")?;
        if event["event"] == "evaluated" {
            evaluating += seconds - before;
            if event["split"] == "test" {
                let count = |field: &str| event["accuracy"][field].as_f64();
                let (Some(correct), Some(total)) = (count("correct"), count("total")) else {
                    bail!("an evaluation without counts: {line}");
                };
                points.push(Point {
                    seconds: seconds - evaluating,
                    percent: 100.0 * correct / total,
                });
            }
        }
        before = seconds;
    }
    Ok(points)
}

fn theirs(
    python: &Path,
    data: &Path,
    seed: &str,
    threads: usize,
    give_up: u32,
) -> Result<Vec<Point>> {
    let mut command = pinned(python, threads);
    command.arg(process::workspace_root().join("benchmarks/peer/train_mnist.py"));
    command.args(["--seed", seed, "--threads", &threads.to_string()]);
    command.args(["--max-seconds", &give_up.to_string()]);
    command
        .arg("--data-root")
        .arg(data)
        .stderr(Stdio::inherit());
    let output = command.output().context("Python cannot be started")?;
    if !output.status.success() {
        bail!("the training of the peer failed");
    }
    let text = String::from_utf8(output.stdout)?;
    let points = text.lines().map(serde_json::from_str);
    points
        .collect::<Result<_, _>>()
        .context("what the peer printed is no evaluation")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluation_does_not_count() {
        let log = r#"{"event":"epoch","seconds":10.0}
{"event":"evaluated","split":"validation","accuracy":{"correct":1,"total":2},"seconds":11.0}
{"event":"evaluated","split":"test","accuracy":{"correct":97,"total":100},"seconds":13.0}
{"event":"epoch","seconds":23.0}
{"event":"evaluated","split":"test","accuracy":{"correct":98,"total":100},"seconds":26.0}"#;
        let points = points_of_log(log).expect("a log");
        let row = seconds("ours".into(), &points);
        assert_eq!(row.to_percent, [Some(10.0), Some(20.0), None]);
        assert_eq!(row.trained, 20.0);
    }
}
