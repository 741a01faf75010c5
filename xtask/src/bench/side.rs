//! Runs one side of a comparison in a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::case::{Case, REFERENCE_IMAGES};
use crate::process;

/// The form of the computation in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The features are computed once per image.
    Smart,
    /// The backbone runs twice in a training step and in every step of the ODE, as in the reference.
    Reference,
}

/// A side of the comparison: the program that computes.
pub enum Side {
    /// The program `noprop`, by its path.
    Ours(PathBuf),
    /// The PyTorch peer: the path of Python, and the form of the computation.
    Peer(PathBuf, Form),
}

/// The output of one process, and the seconds from its start to its end.
pub struct Run {
    output: Output,
    wall: f64,
    /// The factor from the amount of work that was done to the amount that was asked for.
    scale: f64,
}

#[derive(Deserialize)]
struct Output {
    timings: Vec<Timing>,
    peak_memory: Option<u64>,
}

#[derive(Deserialize)]
struct Timing {
    seconds: Vec<f64>,
}

/// All runs of one side.
#[derive(Default)]
pub struct Result {
    seconds: Vec<f64>,
    walls: Vec<f64>,
    peak_memory: Option<u64>,
}

impl Result {
    /// Adds the result of another run.
    pub fn add(&mut self, run: Run) {
        let first = run.output.timings.into_iter().next();
        let seconds = first.map(|timing| timing.seconds).unwrap_or_default();
        self.seconds.extend(seconds.iter().map(|s| s * run.scale));
        self.walls.push(run.wall);
        self.peak_memory = self.peak_memory.max(run.output.peak_memory);
    }

    /// The median of the seconds of all repetitions.
    pub fn median(&self) -> f64 {
        median(&self.seconds)
    }

    /// The seconds of the fastest and of the slowest repetition.
    pub fn range(&self) -> (f64, f64) {
        let fold = |f: fn(f64, f64) -> f64, start| self.seconds.iter().copied().fold(start, f);
        (fold(f64::min, f64::INFINITY), fold(f64::max, 0.0))
    }

    /// The median of the seconds from start to end of a process.
    pub fn wall(&self) -> f64 {
        median(&self.walls)
    }

    /// The peak memory in bytes, of the process that needed most.
    pub fn peak_memory(&self) -> Option<u64> {
        self.peak_memory
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Side {
    /// The name of the side in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ours(_) => "ours",
            Self::Peer(_, Form::Smart) => "PyTorch, features once",
            Self::Peer(_, Form::Reference) => "PyTorch, as the reference",
        }
    }

    /// Measures `case`.
    ///
    /// # Errors
    /// When the program cannot be started, fails, or prints something else than expected.
    pub fn run(&self, case: &Case) -> anyhow::Result<Run> {
        let is_dear = matches!(self, Self::Peer(_, Form::Reference)) && case.measure == "solve";
        let images = if is_dear {
            REFERENCE_IMAGES.min(case.images)
        } else {
            case.images
        };
        let mut command = pinned(self.program(), case.threads);
        match self {
            Self::Ours(_) => command.args([
                "bench",
                "--recipe",
                "reference-mnist",
                "--device",
                "cpu",
                "--json",
            ]),
            Self::Peer(_, form) => command
                .arg(process::workspace_root().join("benchmarks/peer/measure.py"))
                .args([
                    "--form",
                    if *form == Form::Smart {
                        "smart"
                    } else {
                        "reference"
                    },
                ]),
        };
        command.args(["--measure", case.measure]);
        for (flag, value) in [
            ("--size", case.size),
            ("--batch-size", case.batch),
            ("--images", images),
            ("--steps", case.steps),
            ("--threads", case.threads),
            ("--repeats", case.repeats),
            ("--warm-up", case.warm_up),
        ] {
            command.arg(flag).arg(value.to_string());
        }
        let start = Instant::now();
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start {}", self.program().display()))?;
        let wall = start.elapsed().as_secs_f64();
        if !output.status.success() {
            bail!("{} failed while measuring: {}", self.name(), case.title);
        }
        Ok(Run {
            output: serde_json::from_slice(&output.stdout)
                .with_context(|| format!("what {} printed is no result", self.name()))?,
            wall,
            scale: if is_dear {
                case.images as f64 / images as f64
            } else {
                1.0
            },
        })
    }

    fn program(&self) -> &Path {
        match self {
            Self::Ours(program) | Self::Peer(program, _) => program,
        }
    }
}

/// A command that runs `program` on the first `threads` cores, if the system can pin processes, and with that many
/// threads in every library that it uses.
pub fn pinned(program: &Path, threads: usize) -> Command {
    let mut command = match process::which("taskset") {
        Some(taskset) => {
            let mut command = Command::new(taskset);
            command
                .arg("-c")
                .arg(format!("0-{}", threads - 1))
                .arg(program);
            command
        }
        None => Command::new(program),
    };
    for variable in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"] {
        command.env(variable, threads.to_string());
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: &[f64], scale: f64, peak: u64) -> Run {
        Run {
            output: Output {
                timings: vec![Timing {
                    seconds: seconds.into(),
                }],
                peak_memory: Some(peak),
            },
            wall: 1.0,
            scale,
        }
    }

    #[test]
    fn runs_are_brought_together() {
        let mut result = Result::default();
        result.add(run(&[3.0, 1.0], 1.0, 7));
        result.add(run(&[1.0], 2.0, 5));
        assert_eq!(result.median(), 2.0);
        assert_eq!(result.range(), (1.0, 3.0));
        assert_eq!(result.peak_memory(), Some(7));
    }
}
