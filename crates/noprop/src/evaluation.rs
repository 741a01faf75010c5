//! Accuracies over samplers, T and noise seeds: the tables of `noprop eval` and at the end of a training.

mod ablation;
mod blocks;
mod table;

use noprop_core::sampler::{DDIM, HEUN};
use noprop_core::{Classifier, Method, Sampler, Walk};

pub use ablation::Ablation;
pub use blocks::BlockAblation;
pub use table::Table;

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
    /// The first noise seed and the temperature of all walks. Its sampler and T are those of no row.
    pub base: Walk,
    /// Whether to name the images that are wrong.
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
            base: Walk::new(DDIM, 1),
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

    /// The samplers of a short table for `classifier`: that of the walk that its card recommends, if any, and
    /// those of [`Self::two_samplers`], two in all.
    pub fn usual_samplers(classifier: &Classifier) -> Vec<Sampler> {
        let card = classifier.card();
        let mut samplers = Self::two_samplers(&card.method);
        let recommended = card.inference.map(|inference| inference.walk.sampler);
        if let Some(own) = recommended.filter(|own| !samplers.contains(own)) {
            samplers.insert(0, own);
            samplers.truncate(2);
        }
        samplers
    }

    /// The numbers of steps of a short table for `classifier`: 2, 5, 10, 20, 40, 60, 100 and that of the walk that
    /// its card recommends, if any; or the only T in which the model walks.
    pub fn usual_steps(classifier: &Classifier) -> Vec<usize> {
        let card = classifier.card();
        let mut steps = Self::steps_or_own(&card.method, &[2, 5, 10, 20, 40, 60, 100]);
        steps.extend(card.inference.map(|recommended| recommended.walk.steps));
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// `usual`, or the only T in which a model of `method` walks.
    pub fn steps_or_own(method: &Method, usual: &[usize]) -> Vec<usize> {
        let own = method.blocks();
        own.map_or(usual.to_vec(), |blocks| vec![blocks])
    }

    /// All walks of the first noise seed, row by row.
    pub fn walks(&self) -> Vec<Walk> {
        let of_sampler = |&sampler: &Sampler| {
            let steps = self.steps.iter();
            steps.map(move |&steps| Walk {
                sampler,
                steps,
                ..self.base
            })
        };
        self.samplers.iter().flat_map(of_sampler).collect()
    }
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
