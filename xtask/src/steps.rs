//! `cargo xtask test`: the checks that a change has to pass, from the fastest to the slowest.
//!
//! Every cargo call uses the release profile and the workspace's features, so that the engine
//! compiles once for all of them.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::page::{self, WASM};
use crate::process::{cargo, run};
use crate::{e2e, vulkan};

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// Formatting
    Fmt,
    /// The workflows of .github/workflows, by actionlint
    Workflows,
    /// Lints, warnings denied
    Clippy,
    /// Unit, cross-crate and end-to-end tests
    Test,
    /// Documentation, warnings denied
    Doc,
    /// The portable crates and the page compile for wasm32, warnings denied
    Wasm,
    /// The demo in a headless browser
    Web,
}

/// The outcome of a step.
enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

/// Runs the chosen steps up to the first failure, then prints the outcome of each.
pub fn test(only: &[Step], skip: &[Step]) -> Result<()> {
    let mut rows = Vec::new();
    let mut failed = None;
    for step in selection(only, skip) {
        println!("\n== {}", step.name());
        let start = Instant::now();
        // A program that cannot be started fails its step; the table is printed all the same.
        let outcome = step.run().unwrap_or_else(|error| {
            println!("{error:#}");
            Outcome::Failed
        });
        let time = start.elapsed();
        println!(
            "-- {}: {} in {:.1} s",
            step.name(),
            outcome.word(),
            time.as_secs_f64()
        );
        let is_failure = matches!(outcome, Outcome::Failed);
        rows.push((step, outcome, time));
        if is_failure {
            failed = Some(step.name());
            break;
        }
    }
    print!("{}", table(&rows));
    match failed {
        Some(name) => {
            bail!("the step `{name}` failed (repeat it alone: cargo xtask test --only {name})")
        }
        None => Ok(()),
    }
}

/// The steps to run, always in the fixed order, whatever the order of the flags.
fn selection(only: &[Step], skip: &[Step]) -> Vec<Step> {
    Step::value_variants()
        .iter()
        .copied()
        .filter(|step| only.is_empty() || only.contains(step))
        .filter(|step| !skip.contains(step))
        .collect()
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Workflows => "workflows",
            Self::Clippy => "clippy",
            Self::Test => "test",
            Self::Doc => "doc",
            Self::Wasm => "wasm",
            Self::Web => "web",
        }
    }

    /// Names what the step lacks on this machine; `None` if it can run.
    fn missing(self) -> Option<String> {
        match self {
            Self::Workflows => e2e::missing_for_workflows(),
            Self::Wasm if !page::has_wasm() => {
                Some(format!("the Rust toolchain cannot compile for {WASM}"))
            }
            Self::Web => e2e::missing_for_browser(),
            _ => None,
        }
    }

    fn run(self) -> Result<Outcome> {
        if let Some(what) = self.missing() {
            let why = format!("{what} (try `cargo xtask setup`)");
            println!("SKIPPED: {why}");
            return Ok(Outcome::Skipped(why));
        }
        let passed = match self {
            Self::Fmt => run(&mut cargo(["fmt", "--all", "--check"]))?,
            Self::Workflows => e2e::lint_workflows()?,
            Self::Clippy => {
                let mut command = locked(["clippy", "--release", "--workspace", "--all-targets"]);
                run(command.args(["--", "-D", "warnings"]))?
            }
            Self::Test => {
                let mut command = locked(["test", "--release", "--workspace"]);
                vulkan::configure(&mut command)?;
                run(&mut command)?
            }
            Self::Doc => {
                let mut command = locked(["doc", "--release", "--workspace", "--no-deps"]);
                run(command.env("RUSTDOCFLAGS", "-D warnings"))?
            }
            Self::Wasm => {
                // Clippy, since natively most of the page is not compiled and so not linted.
                let mut command = locked(["clippy", "--release", "--target", WASM]);
                for package in ["noprop-core", "noprop-train", "noprop-web", "noprop-stage"] {
                    command.args(["--package", package]);
                }
                command
                    .args(["--features", "noprop-web/page,noprop-web/cpu"])
                    .args(["--features", "noprop-stage/worker"])
                    .args(["--", "-D", "warnings"]);
                run(page::with_wasm(&mut command))?
            }
            Self::Web => e2e::test_in_browser()?,
        };
        Ok(if passed {
            Outcome::Passed
        } else {
            Outcome::Failed
        })
    }
}

/// A `cargo` command. On a build machine (`CI`) it must not change the lock file.
fn locked<const N: usize>(args: [&str; N]) -> Command {
    let mut command = cargo(args);
    if is_ci(env::var("CI").ok().as_deref()) {
        command.arg("--locked");
    }
    command
}

fn is_ci(value: Option<&str>) -> bool {
    !matches!(value, None | Some("" | "0" | "false"))
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed => "FAILED",
            Self::Skipped(_) => "SKIPPED",
        }
    }
}

fn table(rows: &[(Step, Outcome, Duration)]) -> String {
    let mut text = format!("\n{:<10} {:<8} {:>8}\n", "step", "result", "seconds");
    for (step, outcome, time) in rows {
        text += &format!(
            "{:<10} {:<8} {:>8.1}",
            step.name(),
            outcome.word(),
            time.as_secs_f64()
        );
        if let Outcome::Skipped(why) = outcome {
            text += &format!("  {why}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_steps_in_the_fixed_order() {
        use Step::{Clippy, Doc, Fmt, Test, Wasm, Web, Workflows};
        let all = [Fmt, Workflows, Clippy, Test, Doc, Wasm, Web];
        assert_eq!(selection(&[], &[]), all);
        assert_eq!(selection(&[Wasm, Fmt], &[]), [Fmt, Wasm]);
        assert_eq!(
            selection(&[], &[Test, Doc]),
            [Fmt, Workflows, Clippy, Wasm, Web]
        );
        assert_eq!(selection(&[Test], &[Test]), []);
    }

    #[test]
    fn names_are_what_the_flags_accept() {
        for step in Step::value_variants() {
            let value = step.to_possible_value().expect("no step is hidden");
            assert_eq!(value.get_name(), step.name());
        }
    }

    #[test]
    fn recognises_a_build_machine() {
        assert!(is_ci(Some("true")) && is_ci(Some("1")));
        assert!(!is_ci(None) && !is_ci(Some("")) && !is_ci(Some("false")));
    }

    #[test]
    fn the_table_says_why_a_step_was_skipped() {
        let rows = [
            (Step::Fmt, Outcome::Passed, Duration::from_millis(1_240)),
            (
                Step::Wasm,
                Outcome::Skipped("no target".to_owned()),
                Duration::ZERO,
            ),
        ];
        let text = table(&rows);
        assert!(text.contains("fmt        ok            1.2\n"), "{text}");
        assert!(
            text.contains("wasm       SKIPPED       0.0  no target\n"),
            "{text}"
        );
    }
}
