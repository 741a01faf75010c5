//! Whether a card can be that of its file. A card comes from a file that anybody may have written,
//! so it is checked before anything of the size that it asks for is made.

use super::ModelCard;
use crate::backbone::BackboneConfig;
use crate::config::ModelConfig;
use crate::embedding::{ClassEmbeddingConfig, PrototypeSource};
use crate::error::WeightsError;
use crate::schedule::ScheduleConfig;

/// Bytes of a parameter in f16, the smallest precision of a file.
const LEAST_BYTES: f64 = 2.0;

/// Checks a card against the length of its file in bytes.
pub(super) fn check(card: &ModelCard, file: usize) -> Result<(), WeightsError> {
    let least = least_parameters(&card.model);
    if least * LEAST_BYTES > file as f64 {
        return Err(WeightsError::Mismatch(format!(
            "the configuration asks for at least {least:.0} parameters, more than {file} bytes hold"
        )));
    }
    card.model.validate()?;
    let metadata = |message: String| Err(WeightsError::Metadata(message));
    let (named, classes) = (card.classes.len(), card.model.classes);
    if named != classes {
        return metadata(format!(
            "it names {named} classes, and the model has {classes}"
        ));
    }
    let (mean, std, channels) = (card.mean.len(), card.std.len(), card.model.input[0]);
    if mean != std || (mean != 1 && mean != channels) {
        return metadata(format!(
            "it normalises {mean} and {std} channels, and the model has {channels}"
        ));
    }
    let is_number = |value: &f32| value.is_finite();
    if !card.mean.iter().all(is_number) || !card.std.iter().all(|std| is_number(std) && *std > 0.0)
    {
        return metadata("mean and std must be numbers, and std positive".to_owned());
    }
    Ok(())
}

/// Fewer parameters than any model of this configuration has. In f64: the numbers may be absurd.
fn least_parameters(model: &ModelConfig) -> f64 {
    let [channels, height, width] = model.input.map(|n| n as f64);
    let (classes, embed) = (model.classes as f64, model.embed_dim as f64);
    let [first, second] = model.head.hidden.map(|n| n as f64);
    let backbone = match &model.backbone {
        BackboneConfig::Resnet(config) => {
            let w = config.width as f64;
            // The last 3×3 convolution, the stem and the projection.
            9.0 * (8.0 * w).powi(2) + 9.0 * channels * w + 8.0 * w * embed
        }
        BackboneConfig::Cnn(config) => {
            let w = config.width as f64;
            let flat = 4.0 * w * (height / 4.0).floor() * (width / 4.0).floor();
            72.0 * w * w + 9.0 * channels * w + flat * embed
        }
    };
    let latent = match &model.class_embedding {
        ClassEmbeddingConfig::OneHot => classes,
        ClassEmbeddingConfig::Learned { dim: Some(dim), .. } => *dim as f64,
        ClassEmbeddingConfig::Prototype {
            source: PrototypeSource::Image,
        } => channels * height * width,
        ClassEmbeddingConfig::Learned { dim: None, .. }
        | ClassEmbeddingConfig::Prototype { .. } => embed,
    };
    let encoders = latent * embed + model.time_dim as f64 * embed;
    let head = 3.0 * embed * first + first * second + second * classes;
    let schedule = match model.schedule {
        ScheduleConfig::Learned { hidden, .. } | ScheduleConfig::Reference { hidden, .. } => hidden,
        ScheduleConfig::Linear { .. } | ScheduleConfig::Flow { .. } => 0,
    };
    backbone + classes * latent + encoders + head + 2.0 * schedule as f64
}
