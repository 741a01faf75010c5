//! The table of `noprop reproduce`: for the terminal, and as `table1.md` in the folder.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::paper::{PaperMethod, Published};
use crate::embedding::Embedding;
use crate::evaluation::Mean;
use crate::run_folder::{Summary, write_atomically};

/// A row of Table 1, with the paper's numbers and ours.
pub struct Row {
    method: PaperMethod,
    embedding: Embedding,
    published: Published,
    /// The accuracy on training images in percent, for each training and noise seed.
    pub train: Vec<f64>,
    /// The accuracy on test images in percent, for each training and noise seed.
    pub test: Vec<f64>,
    /// The steps, time and memory of each training.
    pub summaries: Vec<Summary>,
}

impl Row {
    pub fn new(method: PaperMethod, embedding: Embedding, published: Published) -> Self {
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

/// The rows of the table so far.
pub struct Report {
    dataset: String,
    /// The sentence above the table, after the name of the dataset.
    conditions: String,
    rows: Vec<Row>,
}

impl Report {
    /// An empty table for `dataset`. `conditions` say how its numbers are found.
    pub fn new(dataset: &str, conditions: String) -> Self {
        Self {
            dataset: dataset.to_owned(),
            conditions,
            rows: Vec::new(),
        }
    }

    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The table in Markdown, with columns that are aligned in a terminal, too.
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
        let dataset = &self.dataset;
        let rows = self.rows.iter();
        let rows = rows.map(|row| row.cells(row.method.epochs(dataset)));
        let lines: Vec<[String; 9]> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let mut text = format!(
            "Table 1 of arXiv:2503.24322 on {dataset}: {}\n\n",
            self.conditions
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

    /// Writes the table as `table1.md` into `folder`.
    ///
    /// # Errors
    /// When the disk is full or not writable.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join("table1.md");
        write_atomically(&path, self.text().as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}
