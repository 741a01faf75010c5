//! Compares our numbers with PyTorch's at full ResNet-18 size, from the same random weights.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;

/// The largest difference that passes, as a share of the largest entry of the tensor, or of 1 if that is larger. f32
/// sums of some thousand terms have another order, over 18 layers; a wrong layer differs by about 1.
const TOLERANCE: f64 = 1e-4;

/// Each model and its walks (sampler and T), by the names that `parity.py` gives them.
const WALKS: [(&str, &[(&str, &str)]); 2] = [
    ("ours", &[("ddim", "10"), ("heun", "40")]),
    ("reference", &[("reference-heun", "40")]),
];

/// The comparison of one tensor of one model.
#[derive(Deserialize)]
struct Row {
    model: String,
    what: String,
    /// The largest absolute value of PyTorch's tensor.
    largest: f64,
    /// The largest absolute difference.
    difference: f64,
    /// The difference that is allowed, of the largest entry or of 1 where that is less.
    #[serde(default = "usual_tolerance")]
    tolerance: f64,
}

fn usual_tolerance() -> f64 {
    TOLERANCE
}

/// Compares all numbers, and returns the comparison as a table.
///
/// # Errors
/// When a program fails, or the numbers differ.
pub fn measure(noprop: &Path, python: &Path) -> Result<String> {
    let folder = process::target_dir()?.join("bench-parity");
    let peer = |what: &str| {
        let mut command = Command::new(python);
        command.arg(process::workspace_root().join("benchmarks/peer/parity.py"));
        command.arg(what).arg(&folder);
        command
    };
    let run = |mut command: Command| -> Result<()> {
        if !process::run(&mut command)? {
            bail!("a program of the comparison failed");
        }
        Ok(())
    };
    run(peer("make"))?;
    let file = |name: &str| folder.join(name);
    // The reference's weights are in a file that PyTorch wrote.
    let mut import = Command::new(noprop);
    import.arg("import").arg(file("reference.pt"));
    import.arg("--out").arg(file("reference.safetensors"));
    run(import)?;
    for (model, walks) in WALKS {
        for (sampler, steps) in walks {
            let mut trace = Command::new(noprop);
            trace.arg("dump-values");
            for (flag, name) in [
                ("--weights", format!("{model}.safetensors")),
                ("--inputs", format!("{model}.in.safetensors")),
                ("--out", format!("{model}.{sampler}.safetensors")),
            ] {
                trace.arg(flag).arg(file(&name));
            }
            trace.args(["--sampler", sampler, "--steps", steps]);
            trace.args(["--device", "cpu", "--threads", "1"]);
            run(trace)?;
        }
    }
    let output = peer("compare").stderr(Stdio::inherit()).output();
    let output = output.context("Python cannot be started")?;
    if !output.status.success() {
        bail!("the comparison of the numbers failed");
    }
    let mut rows: Vec<Row> =
        serde_json::from_slice(&output.stdout).context("what the peer printed is no comparison")?;
    rows.extend(step(&folder)?);
    let table = table(&rows);
    match rows.iter().find(|row| !row.agrees()) {
        Some(row) => bail!("{table}\n{} of {} differs", row.what, row.model),
        None => Ok(table),
    }
}

/// Compares a whole training step, by the test that also compares steps of small models.
fn step(folder: &Path) -> Result<Vec<Row>> {
    let mut test = process::cargo(["test", "--release", "--workspace", "--test", "parity", "--"]);
    test.args(["--ignored", "--nocapture", "a_training_step_at_full_size"]);
    let output = test
        .env("NOPROP_PARITY_DIR", folder)
        .stderr(Stdio::inherit())
        .output();
    let output = output.context("cargo cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("the training step at full size is not PyTorch's:\n{text}");
    }
    let rows = text.lines().filter(|line| line.starts_with('{'));
    rows.map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("what the test printed is no comparison")
}

impl Row {
    fn agrees(&self) -> bool {
        self.difference <= self.tolerance * self.largest.max(1.0)
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n| ResNet-18, random weights, 16 images | tensor | largest entry | largest difference |\n|---|---|---|---|\n",
    );
    for row in rows {
        let model = match row.model.as_str() {
            "ours" => "`mnist-resnet18`",
            _ => "`reference-mnist`, from its `.pt`",
        };
        let (what, largest, difference) = (&row.what, row.largest, row.difference);
        let _ = writeln!(
            text,
            "| {model} | {what} | {largest:.3} | {difference:.1e} |"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(largest: f64, difference: f64) -> Row {
        Row {
            model: "ours".into(),
            what: "features".into(),
            largest,
            difference,
            tolerance: TOLERANCE,
        }
    }

    #[test]
    fn differences_are_judged_by_the_largest_entry() {
        assert!(row(1000.0, 0.05).agrees());
        assert!(!row(0.5, 0.05).agrees());
        assert!(!row(1.0, f64::NAN).agrees());
        assert!(table(&[row(1.0, 2e-6)]).contains("| features | 1.000 | 2.0e-6 |"));
    }
}
