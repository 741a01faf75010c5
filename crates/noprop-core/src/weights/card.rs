//! The check of a card against its file. Anybody may have written the file, so its card is checked before
//! memory of the size that it states is allocated.

use super::ModelCard;
use crate::embedding::{ClassEmbeddingConfig, PrototypeSource};
use crate::error::WeightsError;

/// The bytes of a parameter in f16, the smallest precision of a file.
const LEAST_BYTES: f64 = 2.0;

/// Checks a card against `file`, the length of its file in bytes.
///
/// # Errors
/// When the model of the card has more parameters than the file can hold, or the card contradicts itself.
pub fn check(card: &ModelCard, file: usize) -> Result<(), WeightsError> {
    let least = least_parameters(card);
    if least * LEAST_BYTES > file as f64 {
        return Err(WeightsError::Mismatch(format!(
            "the configuration asks for at least {least:.0} parameters, more than {file} bytes hold"
        )));
    }
    card.model.validate()?;
    card.method.validate(&card.model)?;
    if let Some(blocks) = card.blocks {
        let count = card.method.blocks().unwrap_or(0);
        if blocks.last() > count {
            return Err(WeightsError::Metadata(format!(
                "blocks {blocks} are trained, and the model has {count}"
            )));
        }
    }
    let metadata = |message: String| Err(WeightsError::Metadata(message));
    let (named, classes) = (card.classes.len(), card.model.classes);
    if named != classes {
        return metadata(format!(
            "it names {named} classes, and the model has {classes}"
        ));
    }
    card.normalization
        .check(card.model.input[0])
        .or_else(metadata)?;
    match &card.inference {
        Some(inference) => inference.check_recommended(&card.method).or_else(metadata),
        None => Ok(()),
    }
}

/// A lower bound of the number of parameters of the model of this card, in f64, since its numbers may be
/// absurdly large.
fn least_parameters(card: &ModelCard) -> f64 {
    let (model, method) = (&card.model, &card.method);
    let (classes, embed) = (model.classes as f64, model.embed_dim as f64);
    let [first, second] = model.head.hidden.map(|n| n as f64);
    let backbone = model
        .backbone
        .least_parameters(model.input, model.embed_dim);
    let latent = match &model.class_embedding {
        ClassEmbeddingConfig::OneHot => classes,
        ClassEmbeddingConfig::Learned { dim: Some(dim), .. } => *dim as f64,
        ClassEmbeddingConfig::Prototype {
            source: PrototypeSource::Image,
        } => model.input.iter().map(|&n| n as f64).product(),
        ClassEmbeddingConfig::Learned { dim: None, .. }
        | ClassEmbeddingConfig::Prototype { .. } => embed,
    };
    let after_first = first * second + second * classes;
    if let Some(blocks) = method.blocks() {
        let label = latent * embed + 2.0 * embed * embed;
        let block = backbone + label + 2.0 * embed * first + after_first;
        return classes * latent + blocks as f64 * block;
    }
    let encoders = latent * embed + model.time_dim as f64 * embed;
    let head = 3.0 * embed * first + after_first;
    let schedule = 2.0 * method.schedule_hidden() as f64;
    backbone + classes * latent + encoders + head + schedule
}
