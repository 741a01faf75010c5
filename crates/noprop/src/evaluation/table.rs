//! The table of accuracies.

use std::time::Instant;

use anyhow::Result;
use noprop_core::inference::ignores_seed;
use noprop_core::{Classifier, Inference, Sampler, Views, Walk, WalkError, Walks};
use noprop_train::{Accuracy, Evaluator, TrainError};
use serde::Serialize;

use super::{Ablation, BlockAblation, Mean, Plan};

/// A table.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    images: usize,
    repeats: usize,
    /// The first noise seed.
    seed: u64,
    /// Walks of each image, whose class probabilities are averaged; those that cannot differ are walked once.
    votes: usize,
    /// One pass of the backbone over all images, and over their views.
    features_seconds: f64,
    rows: Vec<Row>,
    /// One row for each class, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<ClassRow>,
    /// One row for each walk, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ablations: Vec<Ablation>,
    /// The contribution of each block of a NoProp-DT network, if the user asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<BlockAblation>,
}

/// One sampler at one T.
#[derive(Debug, Clone, Serialize)]
struct Row {
    sampler: Sampler,
    steps: usize,
    /// The factor on z_0.
    temperature: f32,
    /// Walks of each image that can differ.
    votes: usize,
    views: Views,
    /// Whether the card of the weights recommends this row.
    recommended: bool,
    /// Whether every noise seed gives the same walks.
    deterministic: bool,
    /// Mean over the noise seeds, percent.
    accuracy: f64,
    /// Standard error over the noise seeds, percent; absent for a single one, and where seeds change nothing.
    standard_error: Option<f64>,
    /// Wilson's 95 % interval of the mean accuracy, percent: what other test images of the same kind could give.
    interval: (f64, f64),
    /// Images that walk in a second; the backbone does not count.
    images_per_second: f64,
    seconds: f64,
    /// Indices of the images that the first seed gets wrong, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    mistakes: Option<Vec<usize>>,
}

/// The accuracy of one class.
#[derive(Debug, Clone, Serialize)]
struct ClassRow {
    class: String,
    images: usize,
    /// Percent.
    accuracy: f64,
}

impl Table {
    /// Evaluates `classifier` as `plan` says, on the images of the evaluator that `evaluator` makes of it; the
    /// backbone runs once for the whole table.
    ///
    /// # Errors
    /// When the images or a walk of the plan do not suit the classifier.
    pub fn measure<'a>(
        classifier: &Classifier,
        plan: &Plan,
        evaluator: impl FnOnce() -> Result<Evaluator<'a>, TrainError>,
    ) -> Result<Self> {
        let start = Instant::now();
        let evaluator = evaluator()?;
        // The first walk makes a GPU finish the features, and compiles the kernels of a step.
        let method = &classifier.card().method;
        let short = Walk {
            steps: method.blocks().unwrap_or(1),
            ..method.default_walk()
        };
        let images = evaluator.accuracy(&short)?.total;
        let features_seconds = start.elapsed().as_secs_f64();
        let row = |walk| Row::measure(&evaluator, classifier, walk, plan);
        Ok(Self {
            images,
            repeats: plan.repeats,
            seed: plan.base.seed,
            votes: classifier.votes(),
            features_seconds,
            rows: plan
                .walks()
                .into_iter()
                .map(row)
                .collect::<Result<_, _>>()?,
            classes: match plan.per_class {
                true => ClassRow::measure(&evaluator, classifier.classes(), plan)?,
                false => Vec::new(),
            },
            ablations: Vec::new(),
            blocks: None,
        })
    }

    /// Prints it for people.
    pub fn print(&self) {
        println!(
            "{} test images, {} noise seed(s); features of all images once: {:.1}s",
            self.images, self.repeats, self.features_seconds
        );
        println!("accuracy: mean ± s.e. over noise seeds (– where all seeds give the same walks)");
        println!("interval: 95 % interval for this test set (Wilson's, of the mean accuracy)");
        println!("{}", Row::HEAD);
        self.rows.iter().for_each(|row| println!("{}", row.line()));
        if self.rows.iter().any(|row| row.recommended) {
            println!("* as the weights recommend");
        }
        for row in &self.classes {
            println!(
                "{:<16} {:>5} images  {:>6.2} %",
                row.class, row.images, row.accuracy
            );
        }
        if self.ablations.is_empty() {
            return;
        }
        Ablation::print(&self.ablations);
        if let Some(blocks) = &self.blocks {
            blocks.print();
        }
    }
}

impl Row {
    fn measure(
        evaluator: &Evaluator<'_>,
        classifier: &Classifier,
        walk: Walk,
        plan: &Plan,
    ) -> Result<Self, WalkError> {
        let start = Instant::now();
        let votes = Walks::new(walk, classifier.votes()).different_votes();
        let deterministic = ignores_seed(&walk);
        let run = |i: u64| {
            // No walk serves twice.
            let seed = walk.seed.wrapping_add(i * votes as u64);
            evaluator.accuracy(&walk.with_seed(seed))
        };
        let repeats = match deterministic {
            true => 1,
            false => plan.repeats as u64,
        };
        let runs: Vec<Accuracy> = (0..repeats).map(run).collect::<Result<_, _>>()?;
        let seconds = start.elapsed().as_secs_f64() / repeats as f64;
        let mistakes = match plan.mistakes {
            true => {
                let outcomes = evaluator.outcomes(&walk)?;
                let wrong = |&i: &usize| !outcomes[i].is_right();
                Some((0..outcomes.len()).filter(wrong).collect())
            }
            false => None,
        };
        let percents: Vec<f64> = runs.iter().map(Accuracy::percent).collect();
        let mean = Mean::of(&percents);
        Ok(Self {
            sampler: walk.sampler,
            steps: walk.steps,
            temperature: walk.temperature,
            votes,
            views: classifier.inference().views,
            recommended: is_recommended(classifier, &walk),
            deterministic,
            accuracy: mean.mean,
            standard_error: mean.standard_error,
            interval: mean_of(&runs).wilson(),
            images_per_second: runs[0].total as f64 / seconds,
            seconds,
            mistakes,
        })
    }

    /// The names of the columns of [`Self::line`].
    const HEAD: &str = "sampler             T  temp.  votes       views        accuracy %          interval %    \
                        images/s  infer s";

    /// The row as text.
    fn line(&self) -> String {
        let accuracy = match self.deterministic {
            true => format!("{:.2} ± –", self.accuracy),
            false => Mean {
                mean: self.accuracy,
                standard_error: self.standard_error,
            }
            .to_string(),
        };
        let interval = format!("{:.2} … {:.2}", self.interval.0, self.interval.1);
        let sampler = match self.recommended {
            true => format!("{}*", self.sampler),
            false => self.sampler.to_string(),
        };
        let mut line = format!(
            "{sampler:<16} {:>4}  {:>5}  {:>5}  {:>10}  {accuracy:>16}  {interval:>18}  {:>10.0}  {:>7.2}",
            self.steps,
            self.temperature,
            self.votes,
            self.views,
            self.images_per_second,
            self.seconds
        );
        if let Some(mistakes) = &self.mistakes {
            line += &format!("\n    wrong: {mistakes:?}");
        }
        line
    }
}

impl ClassRow {
    fn measure(
        evaluator: &Evaluator<'_>,
        classes: &[String],
        plan: &Plan,
    ) -> Result<Vec<Self>, WalkError> {
        let (Some(&sampler), Some(&steps)) = (plan.samplers.first(), plan.steps.last()) else {
            return Ok(Vec::new());
        };
        let walk = Walk {
            sampler,
            steps,
            ..plan.base
        };
        let row = |(class, accuracy): (&String, Accuracy)| Self {
            class: class.clone(),
            images: accuracy.total,
            accuracy: accuracy.percent(),
        };
        let accuracies = evaluator.accuracy_per_class(&walk)?;
        Ok(classes.iter().zip(accuracies).map(row).collect())
    }
}

/// Whether the card of `classifier` recommends `walk`, whatever its seed, with the votes and the views of
/// `classifier`.
fn is_recommended(classifier: &Classifier, walk: &Walk) -> bool {
    let Some(recommended) = classifier.card().inference else {
        return false;
    };
    let asked = Inference {
        walk: walk.with_seed(recommended.walk.seed),
        ..classifier.inference()
    };
    asked == recommended
}

/// The mean accuracy of several runs on the same images, to the nearest whole image.
fn mean_of(runs: &[Accuracy]) -> Accuracy {
    let correct: usize = runs.iter().map(|run| run.correct).sum();
    Accuracy {
        correct: (correct as f64 / runs.len().max(1) as f64).round() as usize,
        total: runs[0].total,
    }
}

#[cfg(test)]
mod tests {
    use noprop_core::sampler::DDIM;

    use super::*;

    fn row(deterministic: bool, standard_error: Option<f64>) -> Row {
        Row {
            sampler: DDIM,
            steps: 10,
            temperature: 0.0,
            votes: 1,
            views: Views::FlipShift,
            recommended: true,
            deterministic,
            accuracy: 74.4,
            standard_error,
            interval: (73.5, 75.2),
            images_per_second: 1234.0,
            seconds: 0.5,
            mistakes: Some(vec![3, 5]),
        }
    }

    #[test]
    fn a_row_says_how_it_was_asked_and_what_its_spread_is() {
        let line = row(true, None).line();
        for part in [
            "ddim*",
            "flip-shift",
            "74.40 ± –",
            "73.50 … 75.20",
            "wrong: [3, 5]",
        ] {
            assert!(line.contains(part), "{line}");
        }
        assert!(row(false, Some(0.25)).line().contains("74.40 ± 0.25"));
        assert!(!row(false, None).line().contains('±'));
        // The columns end where their names end.
        let first = line.lines().next().unwrap_or_default();
        assert_eq!(first.chars().count(), Row::HEAD.chars().count(), "{first}");
        let end = |text: &str, part: &str| {
            let found = text.find(part).expect(part) + part.len();
            text[..found].chars().count()
        };
        assert_eq!(end(Row::HEAD, "views"), end(first, "flip-shift"));
        assert_eq!(end(Row::HEAD, "interval %"), end(first, "75.20"));
        assert_eq!(end(Row::HEAD, "accuracy %"), end(first, "±") + 2);
    }

    #[test]
    fn the_interval_is_that_of_the_mean() {
        let run = |correct| Accuracy {
            correct,
            total: 100,
        };
        assert_eq!(mean_of(&[run(70), run(75), run(80)]), run(75));
    }
}
