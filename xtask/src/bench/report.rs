//! The tables, for the terminal and for `docs/performance.md`.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Row;
use super::accuracy::Seconds;
use super::case::REFERENCE_IMAGES;
use crate::process;

/// The lines in `docs/performance.md` between which `cargo xtask bench` writes the times; people write the rest.
const TIMES: [&str; 2] = [
    "<!-- written by cargo xtask bench: begin -->",
    "<!-- written by cargo xtask bench: end -->",
];
/// The lines between which the comparison of numbers is written.
const NUMBERS: [&str; 2] = [
    "<!-- numbers, written by cargo xtask bench: begin -->",
    "<!-- numbers, written by cargo xtask bench: end -->",
];
/// The lines between which the seconds to an accuracy are written.
const ACCURACY: [&str; 2] = [
    "<!-- accuracy, written by cargo xtask bench: begin -->",
    "<!-- accuracy, written by cargo xtask bench: end -->",
];

/// The text of a report, in Markdown.
pub struct Report(String);

impl Report {
    pub fn new(threads: usize, turns: usize) -> Self {
        // Paths of this machine mean nothing to a reader.
        let flags = std::env::args()
            .skip(1)
            .filter(|argument| matches!(argument.as_str(), "bench" | "--quick" | "--dry-run"));
        let flags: Vec<String> = flags.collect();
        let mut text = format!("Command: `cargo xtask {}`", flags.join(" "));
        let facts = [
            Some(date()),
            processor(),
            Some(format!(
                "{threads} thread(s) on as many cores for each side"
            )),
            Some(format!("{turns} turns, medians")),
            load().map(|load| format!("load average of the machine before: {load}")),
        ];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        let _ = writeln!(text, "  \n{}.", facts.join("; "));
        Self(text)
    }

    /// Adds the table of all sides.
    pub fn main(&mut self, rows: &[Row]) {
        self.head(
            "Against PyTorch",
            &[
                "",
                "ours",
                "PyTorch, features once",
                "ratio",
                "PyTorch, as the reference",
                "ratio",
            ],
        );
        for row in rows {
            let ours = row.results[0].median();
            let mut cells = vec![row.case.title.clone(), time(ours)];
            for peer in &row.results[1..] {
                cells.extend([time(peer.median()), ratio(peer.median(), ours)]);
            }
            self.row(cells, 6);
        }
        let _ = writeln!(
            self.0,
            "\nRatio: their time by ours, so above 1 we are faster. The reference as it is walks on \
             {REFERENCE_IMAGES} images; its time is scaled to the number in the row."
        );
        if let Some(row) = rows.first() {
            self.head(
                &format!("Peak memory ({})", row.case.title),
                &[
                    "ours",
                    "PyTorch, features once",
                    "PyTorch, as the reference",
                ],
            );
            let cells = row.results.iter().map(|result| match result.peak_memory() {
                Some(bytes) => format!("{:.0} MB", bytes as f64 / 1e6),
                None => "unknown".into(),
            });
            self.row(cells.collect(), 3);
        }
    }

    /// Adds the time from the start of a process to its end.
    pub fn start_up(&mut self, row: &Row) {
        self.head("Start-up", &["", "ours", "PyTorch", "ratio"]);
        let [ours, peer] = [0, 1].map(|i| row.results[i].wall());
        let title = row.case.title.clone();
        self.row(vec![title, time(ours), time(peer), ratio(peer, ours)], 4);
    }

    /// Adds a table of times over a growing number.
    pub fn growth(&mut self, title: &str, rows: &[Row]) {
        self.head(
            title,
            &[
                "",
                "ours",
                "fastest … slowest",
                "PyTorch, features once",
                "ratio",
            ],
        );
        for row in rows {
            let [ours, peer] = [0, 1].map(|i| row.results[i].median());
            let (fastest, slowest) = row.results[0].range();
            let range = format!("{} … {}", time(fastest), time(slowest));
            let title = row.case.title.clone();
            self.row(
                vec![title, time(ours), range, time(peer), ratio(peer, ours)],
                5,
            );
        }
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    /// Writes the tables between their two lines in `path`.
    ///
    /// # Errors
    /// When the file cannot be read or written, or lacks the two lines.
    pub fn write(&self, path: &Path) -> Result<()> {
        put(path, TIMES, &self.0)
    }

    fn head(&mut self, title: &str, columns: &[&str]) {
        let _ = writeln!(self.0, "\n### {title}\n");
        let _ = writeln!(self.0, "| {} |", columns.join(" | "));
        let _ = writeln!(self.0, "|{}", "---|".repeat(columns.len()));
    }

    fn row(&mut self, mut cells: Vec<String>, columns: usize) {
        cells.resize(columns, String::new());
        let _ = writeln!(self.0, "| {} |", cells.join(" | "));
    }
}

/// The table of the seconds of training until 97, 98 and 99 % are right, in Markdown.
pub fn accuracy(rows: &[Seconds], threads: usize, give_up: u32) -> String {
    let mut table = Report(format!(
        "Command: `cargo xtask bench --long --give-up {give_up}`, {}, {threads} thread(s) on as many cores for each side\n",
        date()
    ));
    table.head(
        "Seconds of training to a test accuracy on MNIST (evaluation not counted)",
        &["", "97 %", "98 %", "99 %"],
    );
    for row in rows {
        let mut cells = vec![row.name.clone()];
        cells.extend(row.to_percent.iter().map(|seconds| match seconds {
            Some(seconds) => format!("{seconds:.0}"),
            None => format!("not in {:.0} s", row.trained),
        }));
        table.row(cells, 4);
    }
    table.0
}

/// Writes the table of [`accuracy`] between its two lines in `path`.
///
/// # Errors
/// When the file cannot be read or written, or lacks the two lines.
pub fn write_accuracy(path: &Path, table: &str) -> Result<()> {
    put(path, ACCURACY, table)
}

/// Writes the comparison of numbers between its two lines in `path`.
///
/// # Errors
/// When the file cannot be read or written, or lacks the two lines.
pub fn write_numbers(path: &Path, table: &str) -> Result<()> {
    let text = format!("Command: `cargo xtask bench --parity`, {}\n{table}", date());
    put(path, NUMBERS, &text)
}

fn put(path: &Path, marks: [&str; 2], tables: &str) -> Result<()> {
    let old = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let Some(new) = between(marks, &old, tables) else {
        bail!("{} lacks the lines {marks:?}", path.display());
    };
    fs::write(path, new).with_context(|| path.display().to_string())?;
    println!("written to {}", path.display());
    Ok(())
}

fn between([begin, end]: [&str; 2], text: &str, tables: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{tables}{end}{after}"))
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.1} ms", 1e3 * s),
        s if s < 100.0 => format!("{s:.2} s"),
        s => format!("{s:.0} s"),
    }
}

fn ratio(theirs: f64, ours: f64) -> String {
    format!("**{:.2}**", theirs / ours)
}

fn date() -> String {
    let date = process::which("date").and_then(|date| {
        let mut command = Command::new(date);
        process::capture(command.arg("+%Y-%m-%d %H:%M"))
    });
    date.map_or_else(|| "no date".into(), |date| date.trim().into())
}

fn processor() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let count = info
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    Some(format!("{}, {count} core(s)", field("model name")?))
}

fn load() -> Option<String> {
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    Some(load.split(' ').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_replace_those_between_the_marks() {
        for marks in [TIMES, NUMBERS, ACCURACY] {
            let [begin, end] = marks;
            let old = format!("before\n{begin}\nold\n{end}\nafter");
            let new = between(marks, &old, "new\n").expect("both marks are there");
            assert_eq!(new, format!("before\n{begin}\nnew\n{end}\nafter"));
            assert_eq!(between(marks, "nothing", "new"), None);
        }
    }

    #[test]
    fn times_have_their_unit() {
        assert_eq!(
            [0.0123, 2.5, 1234.5].map(time),
            ["12.3 ms", "2.50 s", "1234 s"]
        );
    }
}
