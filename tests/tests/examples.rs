//! The examples run, and print what their comments promise.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

/// Runs the example `name`, and returns its standard output. Cargo builds examples together with tests, one folder up.
fn output(name: &str) -> String {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program: PathBuf = profile.join("examples").join(name);
    let program = program.with_extension(std::env::consts::EXE_EXTENSION);
    let output = Command::new(&program)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The first number in `text`.
fn number(text: &str) -> f64 {
    let is_numeric = |c: char| c.is_ascii_digit() || c == '.';
    let mut words = text.split(|c| !is_numeric(c));
    words.find_map(|word| word.parse().ok()).unwrap()
}

#[test]
fn the_method_in_one_file_learns_its_spirals() {
    let text = output("noprop_in_100_lines");
    // The accuracy was 99 % when this was written; chance is 33 %. Sums in another order on another CPU change the
    // training a little.
    assert!(number(&text) > 95.0, "{text}");
    let source = include_str!("../../examples/noprop_in_100_lines.rs");
    assert!(source.lines().count() <= 120);
}

#[test]
fn a_seven_is_classified() {
    assert!(output("classify").contains("seven.png: 7 ("));
}

#[test]
fn a_sampler_of_ones_own_walks_to_the_same_class() {
    let text = output("custom_sampler");
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        assert!(line.contains("steps: 7 ("), "{line}");
    }
}

/// The last percentage in `text`.
fn last_percent(text: &str) -> f64 {
    let before = text.rsplit_once(" %").unwrap().0;
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_dataset_of_ones_own_is_learned() {
    let text = output("custom_dataset");
    assert!(last_percent(&text) > 95.0, "{text}");
}

#[test]
fn a_loop_of_ones_own_trains_blocks() {
    let text = output("own_training_loop");
    assert_eq!(text.lines().count(), 2);
    // Chance is 10 %.
    assert!(last_percent(&text) > 60.0, "{text}");
}
