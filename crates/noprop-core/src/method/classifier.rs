//! Method "classifier", the control: the backbone and the head of a NoProp-CT network as a plain classifier that
//! sees no latents, trained by cross-entropy through back-propagation. Every accuracy of a NoProp method is to be
//! read beside the accuracy of this one with the same backbone and budget.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Loss, smoothed_cross_entropy};
use super::ct::{DenoisingLoss, check_smoothing};
use super::initialisation::Initialisation;
use super::is_zero;
use crate::error::ConfigError;
use crate::network::{Features, Shared};
use crate::noise::initialised;

/// The settings of method "classifier".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainClassifier {
    /// The share s of label smoothing: s/m of the weight goes to each of the m classes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
}

impl PlainClassifier {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check_smoothing(self.label_smoothing, DenoisingLoss::CrossEntropy)
    }
}

/// The parts of a network of method "classifier".
#[derive(Module, Debug)]
pub struct PlainClassifierParts {
    /// The backbone, and the denoiser of which z = 0 and t = 0 make a classifier.
    pub network: Shared,
    label_smoothing: f64,
}

impl PlainClassifierParts {
    pub(super) fn new(settings: &PlainClassifier, start: Initialisation<'_>) -> Self {
        let Initialisation {
            config,
            seed,
            device,
            ..
        } = start;
        initialised(device, seed, || Self {
            network: Shared::new(config, config.classes, device),
            label_smoothing: settings.label_smoothing,
        })
    }

    /// The class logits `[b, m]`.
    pub(super) fn readout(&self, features: &Features) -> Tensor<2> {
        self.network.class_logits(features)
    }

    /// The cross-entropy of `batch`.
    pub(super) fn loss(&self, batch: Batch) -> Loss {
        let mut dropout = batch.dropout;
        let features = self.network.features(batch.images, &mut dropout);
        let logits = self.network.class_logits(&features);
        let log_p = log_softmax(logits.clone(), 1);
        let ce = smoothed_cross_entropy(log_p, logits, batch.labels, self.label_smoothing);
        Loss::cross_entropy_alone(ce.mean())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::Method;
    use super::super::tests::{BATCH, CLASSES, batch, config, negative_log_softmax, rows, scalar};
    use super::PlainClassifier;
    use crate::model::NoProp;
    use crate::sampler::{DIRECT, Walk};

    /// The loss in f64 from the class probabilities that one evaluation gives, and label smoothing by hand:
    /// 0.8 of the weight on the label and 0.2/m on each class.
    #[test]
    fn the_loss_is_the_smoothed_cross_entropy_of_its_answer() {
        let device = Device::flex();
        let method = Method::Classifier(PlainClassifier {
            label_smoothing: 0.2,
        });
        let model = NoProp::new(&method, &config(), 2, &device).unwrap();
        let batch = batch(&config(), &device);
        let features = model.features(batch.images.clone());
        let z_1 = model.walk(&features, &Walk::new(DIRECT, 1), 0).unwrap();
        let logits = rows(&model.readout(&features, z_1));
        let row = |i: usize| {
            let of = |class| negative_log_softmax(&logits[i], class);
            let uniform = (0..CLASSES).map(of).sum::<f64>() / CLASSES as f64;
            0.8 * of(i % CLASSES) + 0.2 * uniform
        };
        let expected = (0..BATCH).map(row).sum::<f64>() / BATCH as f64;
        let found = scalar(&model.loss(batch).total);
        // f32 networks against f64 sums: a few roundings of numbers of order 1.
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}
