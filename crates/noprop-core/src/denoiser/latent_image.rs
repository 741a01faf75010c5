//! Latents that are images: with prototypes of image size z has a convolutional module of its own, like that of
//! the image (figure 6, d = image size).

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::backbone::{BackboneConfig, Cnn, CnnConfig};
use crate::config::ModelConfig;
use crate::dropout::Dropout;

/// z `[b, c·h·w]` → its encoding `[b, embed_dim]`.
#[derive(Module, Debug)]
pub(crate) struct LatentImage {
    cnn: Cnn,
    #[module(skip)]
    input: [usize; 3],
}

impl LatentImage {
    pub(crate) fn new(config: &ModelConfig, device: &Device) -> Self {
        let cnn = match &config.backbone {
            BackboneConfig::Cnn(config) => config.clone(),
            BackboneConfig::Resnet(_) => CnnConfig::default(),
        };
        Self {
            cnn: cnn.init(config.input, config.embed_dim, device),
            input: config.input,
        }
    }

    /// With the last ReLU.
    pub(crate) fn forward(&self, z: Tensor<2>) -> Tensor<2> {
        self.cnn.forward(self.image(z), &mut Dropout::Off)
    }

    /// Without it, for the BatchNorm of a block.
    pub(crate) fn project(&self, z: Tensor<2>) -> Tensor<2> {
        self.cnn.project(self.image(z), &mut Dropout::Off)
    }

    // No dropout: unlike an image, z comes with noise of its own in every step.
    fn image(&self, z: Tensor<2>) -> Tensor<4> {
        let [c, h, w] = self.input;
        let b = z.dims()[0];
        z.reshape([b, c, h, w])
    }
}
