//! What the shapes of yhgon/NoProp's two models tell, under our names.

use noprop_core::ModelConfig;
use noprop_core::backbone::BackboneConfig;
use noprop_core::config::HeadConfig;
use noprop_core::weights::Tensors;

use super::resnet;
use crate::error::PytorchError;

/// More classes than any dataset here has.
pub(super) const MOST_CLASSES: usize = 10_000;

/// Size `axis` of the tensor `name`.
///
/// # Errors
/// When it is not there, or has fewer dimensions.
pub(super) fn size_of(tensors: &Tensors, name: &str, axis: usize) -> Result<usize, PytorchError> {
    let shape = tensors.get(name).map(|tensor| tensor.shape.as_slice());
    shape
        .and_then(|shape| shape.get(axis).copied())
        .ok_or_else(|| {
            PytorchError::Mismatch(format!("{name} is missing, or has too few dimensions"))
        })
}

/// What both models have in common.
pub(super) fn config(tensors: &Tensors, size: [usize; 2]) -> Result<ModelConfig, PytorchError> {
    let of = |name, axis| size_of(tensors, name, axis);
    Ok(ModelConfig {
        classes: of("denoiser.head.fc3.weight", 0)?,
        input: [of("backbone.conv1.weight", 1)?, size[0], size[1]],
        embed_dim: of("backbone.fc.weight", 0)?,
        time_dim: of("denoiser.time_encoder.linear.weight", 1)?,
        time_scale: 1.0,
        backbone: BackboneConfig::Resnet(resnet::config(tensors)?),
        head: HeadConfig {
            hidden: [
                of("denoiser.head.fc1.weight", 0)?,
                of("denoiser.head.fc2.weight", 0)?,
            ],
            batch_norm: true,
        },
        ..Default::default()
    })
}

/// Hidden units of γ̃.
pub(super) fn hidden(tensors: &Tensors) -> Result<usize, PytorchError> {
    size_of(tensors, "schedule.l1.weight", 0)
}

/// Whether the parameter has no dimensions there.
pub(super) fn is_scalar(theirs: &str) -> bool {
    theirs.ends_with(".gamma0") || theirs.ends_with(".gamma1")
}
