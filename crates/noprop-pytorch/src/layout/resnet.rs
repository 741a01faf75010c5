//! Depth, stem and width of a ResNet from its parameters.

use noprop_core::backbone::{Depth, ResNetConfig, Stem};
use noprop_core::weights::Tensors;

use super::reference::size_of;
use crate::error::PytorchError;

/// Of the backbone among `tensors`, under our names. A 7×7 stem is ImageNet's.
pub(super) fn config(tensors: &Tensors) -> Result<ResNetConfig, PytorchError> {
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
        return Err(PytorchError::Content(format!(
            "the stem's {kernel}×{kernel} kernel does not tell its stride; name the recipe that the model was trained by"
        )));
    }
    Ok(ResNetConfig {
        depth,
        stem: Stem::Imagenet,
        width: size_of(tensors, "backbone.conv1.weight", 0)?,
    })
}
