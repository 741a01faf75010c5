//! The model of yhgon/NoProp's `noprop_simple.py`: learned class embeddings, and the noise schedule ᾱ = σ(−γ/2).

use noprop_core::config::LabelEncoderConfig;
use noprop_core::embedding::{ClassEmbeddingConfig, PrototypeSource};
use noprop_core::method::Reference;
use noprop_core::weights::Tensors;
use noprop_core::{Method, ModelConfig};

use super::reference::{self, Names};
use crate::error::PytorchError;

pub(super) const NAMES: Names = Names(&[
    ("backbone.conv1.", "backbone.features.0."),
    ("backbone.bn1.", "backbone.features.1."),
    ("backbone.layer1.", "backbone.features.4."),
    ("backbone.layer2.", "backbone.features.5."),
    ("backbone.layer3.", "backbone.features.6."),
    ("backbone.layer4.", "backbone.features.7."),
    ("backbone.fc.", "backbone.proj."),
    ("class_embedding.weight", "W_embed"),
    ("denoiser.label_encoder.0.", "label_enc.fc1."),
    ("denoiser.label_encoder.1.", "label_enc.fc2."),
    ("denoiser.time_encoder.linear.", "time_enc.fc.0."),
    ("denoiser.head.fc1.", "fuse.net.0."),
    ("denoiser.head.bn1.", "fuse.net.1."),
    ("denoiser.head.fc2.", "fuse.net.3."),
    ("denoiser.head.bn2.", "fuse.net.4."),
    ("denoiser.head.fc3.", "fuse.net.6."),
    ("schedule.gamma_0", "noise_schedule.gamma0"),
    ("schedule.gamma_1", "noise_schedule.gamma1"),
    ("schedule.l1.", "noise_schedule.gamma_tilde.0."),
    ("schedule.l2.", "noise_schedule.gamma_tilde.2."),
]);

pub(super) fn config(
    tensors: &Tensors,
    size: [usize; 2],
) -> Result<(Method, ModelConfig), PytorchError> {
    let method = Method::ReferenceSimple(Reference {
        gamma_0: -7.0,
        gamma_1: 7.0,
        hidden: reference::hidden(tensors)?,
        eta: 1.0,
    });
    let model = ModelConfig {
        class_embedding: ClassEmbeddingConfig::Prototype {
            source: PrototypeSource::RandomFeatures,
        },
        label_encoder: LabelEncoderConfig::Residual,
        ..reference::config(tensors, size)?
    };
    Ok((method, model))
}
