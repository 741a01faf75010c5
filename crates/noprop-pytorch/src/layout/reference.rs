//! The common part of yhgon/NoProp's two models: the translation of their parameter names into ours, and the
//! architecture that their shapes tell.

use noprop_core::ModelConfig;
use noprop_core::backbone::{BackboneConfig, Depth, ResNetConfig, Stem};
use noprop_core::config::HeadConfig;
use noprop_core::weights::Tensors;

use crate::error::PytorchError;

/// A table of pairs: a prefix of our parameter names, and the prefix that yhgon/NoProp has instead. A prefix that does
/// not end in a dot is a whole name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names(pub &'static [(&'static str, &'static str)]);

impl Names {
    /// Our name of the parameter that yhgon/NoProp calls `name`; `None` if the table does not have it.
    pub(super) fn ours(self, name: &str) -> Option<String> {
        let change = |&(ours, theirs): &_| replaced(name, theirs, ours);
        self.0.iter().find_map(change)
    }

    /// The name in yhgon/NoProp of the parameter that we call `name`; `None` if the table does not have it.
    pub(super) fn theirs(self, name: &str) -> Option<String> {
        let change = |&(ours, theirs): &_| replaced(name, ours, theirs);
        self.0.iter().find_map(change)
    }
}

fn replaced(name: &str, from: &str, to: &str) -> Option<String> {
    let rest = name.strip_prefix(from)?;
    let is_whole = rest.is_empty() || from.is_empty() || from.ends_with('.');
    is_whole.then(|| format!("{to}{rest}"))
}

/// The largest number of classes that is imported, more than any dataset of the catalogue has.
pub(super) const MOST_CLASSES: usize = 10_000;

/// The size of dimension `axis` of the tensor `name`.
///
/// # Errors
/// When there is no such tensor, or it has no such dimension.
pub(super) fn size_of(tensors: &Tensors, name: &str, axis: usize) -> Result<usize, PytorchError> {
    let shape = tensors.get(name).map(|tensor| tensor.shape.as_slice());
    shape
        .and_then(|shape| shape.get(axis).copied())
        .ok_or_else(|| {
            PytorchError::Mismatch(format!("{name} is missing, or has too few dimensions"))
        })
}

/// The architecture that both models have, read off the shapes of `tensors`.
pub(super) fn config(tensors: &Tensors, size: [usize; 2]) -> Result<ModelConfig, PytorchError> {
    let of = |name, axis| size_of(tensors, name, axis);
    Ok(ModelConfig {
        classes: of("denoiser.head.fc3.weight", 0)?,
        input: [of("backbone.conv1.weight", 1)?, size[0], size[1]],
        embed_dim: of("backbone.fc.weight", 0)?,
        time_dim: of("denoiser.time_encoder.linear.weight", 1)?,
        time_scale: 1.0,
        backbone: BackboneConfig::Resnet(resnet(tensors)?),
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

/// Depth, stem and width of the ResNet among `tensors`, under our names. A 7×7 stem is ImageNet's.
fn resnet(tensors: &Tensors) -> Result<ResNetConfig, PytorchError> {
    let blocks = [1, 2, 3, 4].map(|stage| {
        let block = |index: &usize| {
            tensors.contains_key(&format!("backbone.layer{stage}.{index}.conv1.weight"))
        };
        (0..).take_while(block).count()
    });
    let is_bottleneck = tensors.contains_key("backbone.layer1.0.conv3.weight");
    let depth = match (blocks, is_bottleneck) {
        ([1, 1, 1, 1], false) => Depth::ResNet10,
        ([2, 2, 2, 2], false) => Depth::ResNet18,
        ([3, 4, 6, 3], true) => Depth::ResNet50,
        ([3, 8, 36, 3], true) => Depth::ResNet152,
        (blocks, _) => {
            return Err(PytorchError::Content(format!(
                "a ResNet with {blocks:?} blocks is not known; expected depth 10, 18, 50 or 152"
            )));
        }
    };
    let kernel = size_of(tensors, "backbone.conv1.weight", 2)?;
    if kernel != 7 {
        return Err(PytorchError::Incomplete(format!(
            "the stem's {kernel}×{kernel} kernel does not tell its stride"
        )));
    }
    Ok(ResNetConfig {
        depth,
        stem: Stem::Imagenet,
        width: size_of(tensors, "backbone.conv1.weight", 0)?,
    })
}

/// The number of hidden units of γ̃, the network of the learned noise schedule.
pub(super) fn hidden(tensors: &Tensors) -> Result<usize, PytorchError> {
    size_of(tensors, "schedule.l1.weight", 0)
}

/// Whether the parameter called `theirs` has no dimensions in yhgon/NoProp.
pub(super) fn is_scalar(theirs: &str) -> bool {
    theirs.ends_with(".gamma0") || theirs.ends_with(".gamma1")
}
