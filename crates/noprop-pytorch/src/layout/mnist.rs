//! The model of yhgon/NoProp's `nopropct_mnist.py`: one-hot latents, γ from 5 to −5.

use noprop_core::config::LabelEncoderConfig;
use noprop_core::embedding::ClassEmbeddingConfig;
use noprop_core::method::Reference;
use noprop_core::weights::{HostTensor, Tensors};
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
    ("denoiser.label_encoder.", "z_enc.net.0."),
    ("denoiser.time_encoder.linear.", "t_enc.net.0."),
    ("denoiser.head.fc1.", "fuse.net.0."),
    ("denoiser.head.bn1.", "fuse.net.1."),
    ("denoiser.head.fc2.", "fuse.net.3."),
    ("denoiser.head.bn2.", "fuse.net.4."),
    ("denoiser.head.fc3.", "fuse.net.6."),
    ("schedule.gamma_0", "noise.gamma0"),
    ("schedule.gamma_1", "noise.gamma1"),
    ("schedule.l1.", "noise.gamma_tilde.0."),
    ("schedule.l2.", "noise.gamma_tilde.2."),
]);

pub(super) fn config(
    tensors: &Tensors,
    size: [usize; 2],
) -> Result<(Method, ModelConfig), PytorchError> {
    let method = Method::ReferenceMnist(Reference {
        gamma_0: -5.0,
        gamma_1: 5.0,
        hidden: reference::hidden(tensors)?,
        eta: 1.0,
    });
    let model = ModelConfig {
        class_embedding: ClassEmbeddingConfig::OneHot,
        label_encoder: LabelEncoderConfig::Linear,
        ..reference::config(tensors, size)?
    };
    Ok((method, model))
}

/// Adds W_Embed, which is the identity and no parameter in `nopropct_mnist.py`.
pub(super) fn add_embedding(tensors: &mut Tensors) {
    let Some(classes) = tensors
        .get("denoiser.head.fc3.bias")
        .map(|bias| bias.values.len())
    else {
        return;
    };
    // Every class has a row of the last layer, so the identity is about as large as the tensors that were read. In an
    // absurd file it could be larger; the configuration of such a file is refused.
    if classes > reference::MOST_CLASSES {
        return;
    }
    let values = (0..classes * classes).map(|i| if i % (classes + 1) == 0 { 1.0 } else { 0.0 });
    let identity = HostTensor {
        shape: vec![classes; 2],
        values: values.collect(),
    };
    tensors.insert("class_embedding.weight".into(), identity);
}
