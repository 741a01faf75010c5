//! Accuracies over samplers, T and noise seeds: the tables of `noprop eval` and at the end of a training.

use std::time::Instant;

use anyhow::Result;
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_core::sampler::{DDIM, HEUN};
use noprop_core::{Classifier, Method, Sampler, Walk, WalkError};
use noprop_data::Split;
use noprop_train::{Accuracy, Evaluator, TrainError, Workers};
use serde::Serialize;

/// The mean and the standard error of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// The standard error of the mean, s/√n; absent for a single value.
    pub standard_error: Option<f64>,
}

impl Mean {
    /// The mean of `values`, of which there must be at least one.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self {
            mean,
            standard_error: (values.len() > 1).then(|| (variance / n).sqrt()),
        }
    }
}

impl core::fmt::Display for Mean {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.standard_error {
            Some(error) => f.pad(&format!("{:.2} ± {error:.2}", self.mean)),
            None => f.pad(&format!("{:.2}", self.mean)),
        }
    }
}

/// The walks of a table: each sampler with each T, one row for each pair.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Samplers.
    pub samplers: Vec<Sampler>,
    /// Numbers of steps T.
    pub steps: Vec<usize>,
    /// Number of noise seeds for each row.
    pub repeats: usize,
    /// The first noise seed.
    pub seed: u64,
    /// Whether to list the images that are classified wrongly.
    pub mistakes: bool,
    /// Whether to give the accuracy of each class, with the first sampler and the last T.
    pub per_class: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            samplers: Vec::new(),
            steps: Vec::new(),
            repeats: 1,
            seed: 0,
            mistakes: false,
            per_class: false,
        }
    }
}

impl Plan {
    /// The samplers that serve a model of `method`.
    pub fn all_samplers(method: &Method) -> Vec<Sampler> {
        Sampler::serving(method.process()).collect()
    }

    /// The two samplers of a short table: the first two of DDIM, Heun and the default sampler of `method` that serve
    /// the method.
    pub fn two_samplers(method: &Method) -> Vec<Sampler> {
        let mut samplers = vec![DDIM, HEUN];
        let own = method.default_walk().sampler;
        if !samplers.contains(&own) {
            samplers.push(own);
        }
        samplers.retain(|sampler| sampler.serves(method.process()));
        samplers.truncate(2);
        samplers
    }

    /// `usual`, or the only T in which a model of `method` walks, if there is such a T.
    pub fn steps_or_own(method: &Method, usual: &[usize]) -> Vec<usize> {
        let own = method.blocks();
        own.map_or(usual.to_vec(), |blocks| vec![blocks])
    }

    /// All walks of the first noise seed, row by row.
    pub fn walks(&self) -> Vec<Walk> {
        let of_sampler = |&sampler: &Sampler| {
            let steps = self.steps.iter();
            steps.map(move |&steps| Walk::new(sampler, steps).with_seed(self.seed))
        };
        self.samplers.iter().flat_map(of_sampler).collect()
    }
}

/// A table of accuracies.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    images: usize,
    repeats: usize,
    /// Number of walks of each image, whose class probabilities are averaged.
    votes: usize,
    /// The seconds of one pass of the backbone over all images.
    features_seconds: f64,
    rows: Vec<Row>,
    /// One row for each class, if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<ClassRow>,
    /// One row for each walk, if they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ablations: Vec<Ablation>,
}

/// The row of one sampler at one T.
#[derive(Debug, Clone, Serialize)]
struct Row {
    sampler: Sampler,
    steps: usize,
    /// The mean accuracy over the noise seeds, in percent.
    accuracy: f64,
    /// The standard error of the accuracy over the noise seeds, in percent; absent for a single seed.
    standard_error: Option<f64>,
    /// Wilson's 95 % interval of the accuracy with the first seed, in percent.
    interval: (f64, f64),
    /// Number of images that walk in a second; the time of the backbone does not count.
    images_per_second: f64,
    seconds: f64,
    /// The indices of the images that the first seed gets wrong, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    mistakes: Option<Vec<usize>>,
}

/// The accuracy of one class.
#[derive(Debug, Clone, Serialize)]
struct ClassRow {
    class: String,
    images: usize,
    /// The accuracy in percent.
    accuracy: f64,
}

/// The accuracy of one walk when the denoiser is given a wrong input. A network that ignored z would lose nothing with
/// the latents of other images. If z_0 gave the label away, the network would lose nothing without the images.
#[derive(Debug, Clone, Serialize)]
pub struct Ablation {
    sampler: Sampler,
    steps: usize,
    /// The accuracy with the right inputs, in percent.
    accuracy: f64,
    /// The accuracy with the latent of another image at every step, in percent.
    swapped_latents: f64,
    /// The accuracy with images of uniform noise, in percent; chance is 100 divided by the number of classes.
    random_images: f64,
}

impl Table {
    /// Evaluates `classifier` as `plan` says. `evaluator` makes the evaluator, which holds the images; the backbone
    /// runs once for the whole table.
    ///
    /// # Errors
    /// When the images or a walk of the plan do not fit the classifier.
    pub fn measure<'a>(
        classifier: &Classifier,
        plan: &Plan,
        evaluator: impl FnOnce() -> Result<Evaluator<'a>, TrainError>,
    ) -> Result<Self> {
        let start = Instant::now();
        let evaluator = evaluator()?;
        // The first walk waits until a GPU has finished the features, and compiles the kernels of a step.
        let method = &classifier.card().method;
        let short = Walk {
            steps: method.blocks().unwrap_or(1),
            ..method.default_walk()
        };
        let images = evaluator.accuracy(&short)?.total;
        let features_seconds = start.elapsed().as_secs_f64();
        let votes = classifier.votes();
        let row = |walk| Row::measure(&evaluator, walk, votes, plan);
        Ok(Self {
            images,
            repeats: plan.repeats,
            votes,
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
        })
    }

    /// Prints the table.
    pub fn print(&self) {
        let votes = match self.votes {
            1 => String::new(),
            votes => format!(" of {votes} votes"),
        };
        println!(
            "{} test images, {} noise seed(s){votes}; features of all images once: {:.1}s",
            self.images, self.repeats, self.features_seconds
        );
        println!(
            "{:<16} {:>4}  {:>18}  {:>18}  {:>10}  {:>7}",
            "sampler", "T", "accuracy %", "Wilson 95 %", "images/s", "infer s"
        );
        self.rows.iter().for_each(Row::print);
        for row in &self.classes {
            println!(
                "{:<16} {:>5} images  {:>6.2} %",
                row.class, row.images, row.accuracy
            );
        }
        if self.ablations.is_empty() {
            return;
        }
        println!(
            "{:<16} {:>4}  {:>10}  {:>17}  {:>15}",
            "ablation", "T", "accuracy %", "z of other images", "random images"
        );
        for row in &self.ablations {
            println!(
                "{:<16} {:>4}  {:>10.2}  {:>17.2}  {:>15.2}",
                row.sampler, row.steps, row.accuracy, row.swapped_latents, row.random_images
            );
        }
    }
}

impl Row {
    fn measure(
        evaluator: &Evaluator<'_>,
        walk: Walk,
        votes: usize,
        plan: &Plan,
    ) -> Result<Self, WalkError> {
        let start = Instant::now();
        let run = |i: u64| {
            // The votes of each repetition have seeds of their own, so no walk is used twice.
            let seed = walk.seed.wrapping_add(i * votes as u64);
            evaluator.accuracy(&walk.with_seed(seed))
        };
        let runs: Vec<Accuracy> = (0..plan.repeats as u64)
            .map(run)
            .collect::<Result<_, _>>()?;
        let seconds = start.elapsed().as_secs_f64() / plan.repeats as f64;
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
            accuracy: mean.mean,
            standard_error: mean.standard_error,
            interval: runs[0].wilson(),
            images_per_second: runs[0].total as f64 / seconds,
            seconds,
            mistakes,
        })
    }

    fn print(&self) {
        let accuracy = Mean {
            mean: self.accuracy,
            standard_error: self.standard_error,
        };
        let interval = format!("{:.2} … {:.2}", self.interval.0, self.interval.1);
        println!(
            "{:<16} {:>4}  {accuracy:>18}  {interval:>18}  {:>10.0}  {:>7.2}",
            self.sampler, self.steps, self.images_per_second, self.seconds
        );
        if let Some(mistakes) = &self.mistakes {
            println!("    wrong: {mistakes:?}");
        }
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
        let walk = Walk::new(sampler, steps).with_seed(plan.seed);
        let row = |(class, accuracy): (&String, Accuracy)| Self {
            class: class.clone(),
            images: accuracy.total,
            accuracy: accuracy.percent(),
        };
        let accuracies = evaluator.accuracy_per_class(&walk)?;
        Ok(classes.iter().zip(accuracies).map(row).collect())
    }
}

impl Ablation {
    /// Measures the accuracy that remains with wrong inputs on the images of `test`, for every walk of `plan`.
    ///
    /// # Errors
    /// When a walk of the plan does not suit the model.
    pub fn measure(
        classifier: &Classifier,
        test: &Split,
        workers: &Workers,
        plan: &Plan,
    ) -> Result<Vec<Self>> {
        let random = random_images(test, classifier.classes().len())?;
        let right = Evaluator::new(classifier, test, workers)?;
        let random = Evaluator::new(classifier, &random, workers)?;
        let row = |walk: Walk| {
            Ok(Self {
                sampler: walk.sampler,
                steps: walk.steps,
                accuracy: right.accuracy(&walk)?.percent(),
                swapped_latents: right.accuracy_on_swapped_latents(&walk)?.percent(),
                random_images: random.accuracy(&walk)?.percent(),
            })
        };
        plan.walks().into_iter().map(row).collect()
    }
}

/// A split with the labels of `test`, and with pixels that are independent and uniform.
fn random_images(test: &Split, classes: usize) -> Result<Split> {
    let mut noise = NoiseSource::new(0, Purpose::Augmenting, 0);
    let uniform = noise.uniform(test.len() * test.shape.iter().product::<usize>());
    let pixels = uniform.into_iter().map(|u| (u * 256.0) as u8).collect();
    Ok(Split::new(
        pixels,
        test.labels.clone(),
        test.shape,
        classes,
    )?)
}

#[cfg(test)]
mod tests {
    use noprop_core::method::{Adjoint, Backprop, Ct, Dt, Fm};

    use super::*;

    #[test]
    fn the_error_is_that_of_the_mean() {
        let mean = Mean::of(&[1.0, 3.0]);
        // The standard deviation √2 is divided by √2.
        assert_eq!((mean.mean, mean.standard_error), (2.0, Some(1.0)));
        assert_eq!(mean.to_string(), "2.00 ± 1.00");
        assert_eq!(Mean::of(&[4.0]).to_string(), "4.00");
    }

    #[test]
    fn a_short_table_has_the_methods_samplers() {
        for (method, expected) in [
            (Method::Ct(Ct::default()), "ddim heun"),
            (Method::Dt(Dt::default()), "ddim ancestral"),
            (Method::Fm(Fm::default()), "heun euler"),
            (Method::Adjoint(Adjoint::default()), "heun euler"),
            (Method::Backprop(Backprop::default()), "gated"),
        ] {
            let names = Plan::two_samplers(&method).into_iter().map(|s| s.name);
            assert_eq!(names.collect::<Vec<_>>().join(" "), expected);
        }
    }
}
