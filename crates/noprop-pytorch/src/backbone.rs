//! The backbone of a state dict, to start a training from.

use burn::tensor::Device;
use noprop_core::ModelConfig;
use noprop_core::weights::{self, HostTensor, Tensors};

use crate::error::PytorchError;
use crate::layout::{Layout, fit};
use crate::state_dict::StateDict;

/// The prefix of the last layer. In a ResNet of torchvision this layer leads to classes, in ours to features, so its
/// weights are left out.
const PROJECTION: &str = "fc.";

/// The tensors in `state` from which a model of `config` can start its backbone, under the names that
/// [`weights::load_backbone`] takes. `state` is a ResNet of torchvision, or any model that can be imported. The last
/// layer is left out, since its outputs are the classes or features of another model. If `config` takes grey images and
/// the first convolution has three channels, the kernels of the channels are added. On a grey image the sum computes
/// what the convolution computes on three equal channels.
///
/// # Errors
/// When a parameter does not fit; the error names the first one that does not.
pub fn backbone_tensors(state: StateDict, config: &ModelConfig) -> Result<Tensors, PytorchError> {
    let tensors = Layout::detect(&state.tensors)?.to_ours(state.tensors);
    let bare = tensors.into_iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix("backbone.")?.to_owned();
        Some((name, tensor))
    });
    let mut tensors: Tensors = bare.collect();
    let is_kept = |name: &String| !name.starts_with(PROJECTION);
    tensors.retain(|name, _| is_kept(name));
    if let (1, Some(first)) = (config.input[0], tensors.get_mut("conv1.weight")) {
        sum_over_channels(first);
    }

    let device = Device::flex();
    let backbone = config
        .backbone
        .init(config.input, config.embed_dim, &device);
    let mut expected = weights::parameters(&backbone)?;
    expected.retain(|name, _| is_kept(name));
    fit(&tensors, &expected, "the backbone of the recipe")?;
    Ok(tensors)
}

/// Adds the kernels of the three channels of a weight `[out, 3, h, w]`, which gives `[out, 1, h, w]`. A weight of
/// another shape stays as it is.
fn sum_over_channels(weight: &mut HostTensor) {
    let &[out, 3, height, width] = weight.shape.as_slice() else {
        return;
    };
    let plane = height * width;
    let values = weight.values.chunks_exact(3 * plane).flat_map(|filter| {
        (0..plane).map(|i| filter[i] + filter[plane + i] + filter[2 * plane + i])
    });
    *weight = HostTensor {
        values: values.collect(),
        shape: vec![out, 1, height, width],
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use noprop_core::backbone::{BackboneConfig, Depth, ResNetConfig, Stem};

    fn config(depth: Depth, channels: usize) -> ModelConfig {
        ModelConfig {
            input: [channels, 28, 28],
            embed_dim: 8,
            backbone: BackboneConfig::Resnet(ResNetConfig {
                depth,
                stem: Stem::Imagenet,
                width: 2,
            }),
            ..Default::default()
        }
    }

    /// A state dict with torchvision's names: the bare backbone, with another last layer.
    fn torchvision(depth: Depth) -> StateDict {
        let config = config(depth, 3);
        let network = config.backbone.init(config.input, 1000, &Device::flex());
        StateDict {
            tensors: weights::parameters(&network).expect("its parameters"),
            card: None,
        }
    }

    #[test]
    fn grey_images_see_the_sum_of_the_channels() {
        let state = torchvision(Depth::ResNet18);
        let three = state.tensors["conv1.weight"].clone();
        let tensors =
            backbone_tensors(state.clone(), &config(Depth::ResNet18, 1)).expect("it fits");
        let one = &tensors["conv1.weight"];
        assert_eq!(one.shape, [2, 1, 7, 7]);
        let channel = |c: usize| three.values[147 + 49 * c + 5];
        assert_eq!(one.values[49 + 5], channel(0) + channel(1) + channel(2));
        assert!(!tensors.contains_key("fc.weight"));
        // With three channels nothing changes.
        let tensors = backbone_tensors(state, &config(Depth::ResNet18, 3)).expect("it fits");
        assert_eq!(tensors["conv1.weight"], three);
    }

    #[test]
    fn another_depth_is_refused_by_the_first_parameter() {
        let refusal = |depth, other| {
            let error = backbone_tensors(torchvision(depth), &config(other, 3));
            error.expect_err("another depth").to_string()
        };
        let error = refusal(Depth::ResNet18, Depth::ResNet10);
        assert!(
            error.contains("layer1.1.bn1.bias is in the file and not"),
            "{error}"
        );
        let error = refusal(Depth::ResNet10, Depth::ResNet18);
        assert!(
            error.contains("layer1.1.bn1.bias is in the backbone"),
            "{error}"
        );
        let error = refusal(Depth::ResNet18, Depth::ResNet50);
        assert!(error.contains("layer1.0.bn3.bias"), "{error}");
    }
}
