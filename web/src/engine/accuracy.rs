//! The accuracy over labelled images, computed in pieces so that the worker can handle messages in between.

use burn::tensor::activation::softmax;
use noprop_core::{Accuracy, Walks, predicted_class};

use super::walk::WalkInput;
use super::{Engine, Failure, JoinedRead, requested};
use noprop_protocol::{AccuracyProgress, Walk};

/// The number of images of a piece.
const PIECE: usize = 100;

/// An evaluation in progress.
pub struct AccuracyRun {
    id: u32,
    walk: Walk,
    done: usize,
    correct: usize,
    /// The confusion matrix `[m, m]`; its rows are the true classes.
    confusion: Vec<u32>,
}

impl AccuracyRun {
    /// A new evaluation by `walk` for a request with this `id`.
    pub fn new(id: u32, walk: Walk, classes: usize) -> Self {
        Self {
            id,
            walk,
            done: 0,
            correct: 0,
            confusion: vec![0; classes * classes],
        }
    }

    /// Evaluates the next piece of `images` `[n, c, h, w]` with `labels` `[n]`. Image i starts from the noise of
    /// image i, and votes and views are those that the weights recommend, as in `noprop eval`.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn next(
        &mut self,
        engine: &mut Engine,
        images: &[u8],
        labels: &[u8],
    ) -> Result<AccuracyProgress, Failure> {
        let first = self.done;
        let count = PIECE.min(labels.len() - first);
        let classes = engine.classes().len();
        if count > 0 {
            let size = engine.image_size();
            let pixels = &images[first * size..(first + count) * size];
            let probabilities = self.probabilities(engine, pixels).await?;
            for (row, &label) in probabilities.chunks(classes).zip(&labels[first..]) {
                let (predicted, label) = (predicted_class(row), usize::from(label));
                self.correct += usize::from(predicted == label);
                if label < classes {
                    self.confusion[label * classes + predicted] += 1;
                }
            }
            self.done += count;
        }
        let accuracy = Accuracy {
            correct: self.correct,
            total: self.done,
        };
        Ok(AccuracyProgress {
            id: self.id,
            done: self.done as u32,
            total: labels.len() as u32,
            correct: self.correct as u32,
            interval: accuracy.wilson(),
            confusion: self.confusion.clone(),
            ms: 0.0,
            finished: self.done == labels.len(),
        })
    }

    /// The class probabilities `[n, m]` of the next images, of these pixels: the weighted mean over their views
    /// and votes. They are computed walk by walk, since the fused solver makes the walks where it was opened.
    async fn probabilities(&self, engine: &mut Engine, pixels: &[u8]) -> Result<Vec<f32>, Failure> {
        let votes = Walks::new(requested(&self.walk), engine.classifier.votes()).different_votes();
        let views = engine.view_features(pixels)?;
        let mut mean = Vec::new();
        for (weight, features) in views.with_weights() {
            for vote in 0..votes as u64 {
                let walk = Walk {
                    seed: self.walk.seed.wrapping_add(vote),
                    ..self.walk
                };
                let start = WalkInput {
                    features,
                    walk: &walk,
                    first: self.done,
                    seeds: 1,
                    record: false,
                };
                let walked = engine.walk(start).await?;
                let z_1 = walked.latents.flatten::<2>(0, 1);
                let mut joined = JoinedRead::default();
                joined.add(softmax(walked.model.readout(&walked.features, z_1), 1));
                let [probabilities] = joined.read().await?;
                let share = weight as f32 / votes as f32;
                mean.resize(probabilities.len(), 0.0);
                for (sum, probability) in mean.iter_mut().zip(probabilities) {
                    *sum += share * probability;
                }
            }
        }
        Ok(mean)
    }
}
