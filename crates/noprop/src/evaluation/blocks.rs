//! The contribution of each block of a NoProp-DT network.

use noprop_core::Classifier;
use noprop_train::Evaluator;
use serde::Serialize;

/// The accuracies of some blocks of a NoProp-DT network in percent. All are without a walk: the mean of the outputs
/// of the blocks at z = 0.
#[derive(Debug, Clone, Serialize)]
pub struct BlockAblation {
    /// The accuracy of all blocks together.
    all: f64,
    /// The accuracy of each block alone.
    alone: Vec<f64>,
    /// The accuracy without each block.
    without: Vec<f64>,
}

impl BlockAblation {
    /// Measures the blocks of the model of `classifier`; `None` if each block is not trained by a loss of its own.
    pub fn measure(classifier: &Classifier, evaluator: &Evaluator<'_>) -> Option<Self> {
        let count = classifier.card().method.independent_blocks()?;
        let all: Vec<usize> = (0..count).collect();
        let accuracy = |blocks: &[usize]| Some(evaluator.accuracy_of_blocks(blocks)?.percent());
        let without = |left_out: usize| -> Vec<usize> {
            let kept = all.iter().copied();
            kept.filter(|&block| block != left_out).collect()
        };
        Some(Self {
            all: accuracy(&all)?,
            alone: all
                .iter()
                .map(|&block| accuracy(&[block]))
                .collect::<Option<_>>()?,
            without: all
                .iter()
                .map(|&block| accuracy(&without(block)))
                .collect::<Option<_>>()?,
        })
    }

    /// Prints a line for each block.
    pub fn print(&self) {
        println!(
            "accuracy % of the mean over the blocks at z = 0, without a walk: {:.2}",
            self.all
        );
        println!("{:<8} {:>8}  {:>8}", "block", "alone", "without");
        for (block, (alone, without)) in self.alone.iter().zip(&self.without).enumerate() {
            println!("{:<8} {alone:>8.2}  {without:>8.2}", block + 1);
        }
    }
}
