//! The table: for the terminal, and as `table1.md` in the folder.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::paper::{Method, Published};
use crate::cli::ReproduceArgs;
use crate::embedding::Embedding;
use crate::record::Summary;
use crate::run_folder::write_atomically;
use crate::statistics::Mean;

/// What was found for a row of Table 1.
pub struct Row {
    method: Method,
    embedding: Embedding,
    published: Published,
    /// Percent, of each training and noise seed.
    pub train: Vec<f64>,
    pub test: Vec<f64>,
    /// What each training took.
    pub summaries: Vec<Summary>,
}

impl Row {
    pub fn new(method: Method, embedding: Embedding, published: Published) -> Self {
        Self {
            method,
            embedding,
            published,
            train: Vec::new(),
            test: Vec::new(),
            summaries: Vec::new(),
        }
    }

    fn cells(&self, epochs_of_paper: usize) -> [String; 9] {
        let paper = |(mean, error): (f64, f64)| format!("{mean:.2} ± {error:.2}");
        let mean = |of: fn(&Summary) -> f64| {
            let values: Vec<f64> = self.summaries.iter().map(of).collect();
            match values.is_empty() {
                true => "–".to_owned(),
                false => format!("{:.1}", Mean::of(&values).mean),
            }
        };
        let peak = self
            .summaries
            .iter()
            .filter_map(|run| run.peak_memory)
            .max();
        [
            self.method.to_string(),
            self.embedding.to_string(),
            paper(self.published.train),
            Mean::of(&self.train).to_string(),
            paper(self.published.test),
            Mean::of(&self.test).to_string(),
            format!("{} of {epochs_of_paper}", mean(|run| run.epochs)),
            mean(|run| run.seconds),
            peak.map_or("–".into(), |bytes| format!("{:.2}", bytes as f64 / 1e9)),
        ]
    }
}

/// The table so far.
pub struct Report<'a> {
    args: &'a ReproduceArgs,
    rows: Vec<Row>,
}

impl<'a> Report<'a> {
    pub fn new(args: &'a ReproduceArgs) -> Self {
        Self {
            args,
            rows: Vec::new(),
        }
    }

    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Markdown with columns that are even in a terminal, too.
    pub fn text(&self) -> String {
        let head = [
            "method",
            "embedding",
            "train %, paper",
            "ours",
            "test %, paper",
            "ours",
            "epochs",
            "seconds",
            "GB",
        ]
        .map(str::to_owned);
        let dataset = self.args.dataset.as_str();
        let rows = self.rows.iter();
        let rows = rows.map(|row| row.cells(row.method.epochs(dataset)));
        let lines: Vec<[String; 9]> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let mut budget = match self.args.budget {
            Some(budget) => format!("a budget of {budget} for each training"),
            None => "all of the paper's epochs".to_owned(),
        };
        for setting in &self.args.settings {
            let _ = write!(budget, ", {setting}");
        }
        let mut text = format!(
            "Table 1 of arXiv:2503.24322 on {dataset}: accuracy, mean ± standard error over {} training(s) × {} \
             evaluation(s); {budget}; seconds of training, peak memory.\n\n",
            self.args.seeds, self.args.repeats,
        );
        for (i, line) in lines.iter().enumerate() {
            for (column, cell) in line.iter().enumerate() {
                let width = width(column);
                let _ = write!(text, "| {cell:<width$} ");
            }
            text.push_str("|\n");
            if i == 0 {
                for column in 0..line.len() {
                    let _ = write!(text, "|{}", "-".repeat(width(column) + 2));
                }
                text.push_str("|\n");
            }
        }
        text
    }

    /// Writes `table1.md`.
    ///
    /// # Errors
    /// When the disk is full or not writable.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("table1.md");
        write_atomically(&path, self.text().as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}
