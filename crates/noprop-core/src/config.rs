//! The configuration of an architecture; together with the method it describes a model completely and travels
//! in the weights file.

use serde::{Deserialize, Serialize};

use crate::backbone::BackboneConfig;
use crate::embedding::ClassEmbeddingConfig;
use crate::error::ConfigError;

/// The architecture of a [`NoProp`](crate::NoProp) network. What is trained with it, and how it
/// walks, is its [`Method`](crate::Method).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// The number m of classes.
    pub classes: usize,
    /// The shape of an image: channels, height, width.
    pub input: [usize; 3],
    /// The width of the features and of the encodings of z and t.
    pub embed_dim: usize,
    /// The number of channels of the sinusoidal time embedding; even and at least 4.
    pub time_dim: usize,
    /// The factor on t before the sinusoidal embedding. Since t lies in [0, 1], most channels are nearly
    /// constant with the factor 1 of the reference.
    pub time_scale: f64,
    /// The backbone, which turns an image into features.
    pub backbone: BackboneConfig,
    /// The class embeddings W_Embed and their initial values.
    pub class_embedding: ClassEmbeddingConfig,
    /// The encoder of the latent z_t.
    pub label_encoder: LabelEncoderConfig,
    /// The multi-layer perceptron that turns the encodings of image, z and t into class logits.
    pub head: HeadConfig,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            classes: 10,
            input: [1, 28, 28],
            embed_dim: 256,
            time_dim: 64,
            time_scale: 1000.0,
            backbone: BackboneConfig::default(),
            class_embedding: ClassEmbeddingConfig::default(),
            label_encoder: LabelEncoderConfig::default(),
            head: HeadConfig::default(),
        }
    }
}

/// The encoder of a latent z; its output enters the first layer of the head next to the features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelEncoderConfig {
    /// A linear layer and ReLU (figure 6; `nopropct_mnist.py`).
    #[default]
    Linear,
    /// The residual encoder z + Linear(ReLU(Linear z)); it needs latents of width `embed_dim`
    /// (`noprop_simple.py`).
    Residual,
    /// A convolutional network like that of figure 6, which reads z as an image; it needs latents of image size
    /// (prototype images).
    Image,
}

/// The multi-layer perceptron that turns the features and the encodings of z and t into class logits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadConfig {
    /// The widths of the two hidden layers.
    pub hidden: [usize; 2],
    /// Whether BatchNorm follows each hidden linear layer. The reference has it; the paper has none in NoProp-CT.
    pub batch_norm: bool,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            hidden: [256, 128],
            batch_norm: false,
        }
    }
}

impl ModelConfig {
    /// The dimension d of the latents z and of a class embedding u_y.
    pub fn latent_dim(&self) -> usize {
        self.class_embedding
            .dim(self.classes, self.embed_dim, self.input)
    }

    /// Checks every value and combination.
    ///
    /// # Errors
    /// The first value that cannot work, with what was expected.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let [channels, height, width] = self.input;
        ConfigError::at_least("model.classes", self.classes, 2, "at least 2")?;
        ConfigError::at_least(
            "model.input",
            channels * height * width,
            1,
            "three positive numbers",
        )?;
        ConfigError::at_least("model.embed_dim", self.embed_dim, 1, "at least 1")?;
        ConfigError::at_least(
            "model.head.hidden",
            self.head.hidden[0].min(self.head.hidden[1]),
            1,
            "at least 1",
        )?;
        if self.time_dim < 4 || !self.time_dim.is_multiple_of(2) {
            return Err(ConfigError::value(
                "model.time_dim",
                self.time_dim,
                "an even number, at least 4",
            ));
        }
        if !(self.time_scale.is_finite() && self.time_scale > 0.0) {
            return Err(ConfigError::value(
                "model.time_scale",
                self.time_scale,
                "a positive number",
            ));
        }
        self.backbone.validate(self.input)?;
        self.class_embedding.validate()?;
        let latent = self.latent_dim();
        if self.label_encoder == LabelEncoderConfig::Residual && latent != self.embed_dim {
            return Err(ConfigError::Combination(format!(
                "label_encoder \"residual\" adds to z itself, so the latents ({latent}) must be as wide as \
                 embed_dim ({}); use label_encoder \"linear\" or a learned class embedding of that dimension",
                self.embed_dim
            )));
        }
        if self.label_encoder == LabelEncoderConfig::Image
            && latent != self.input.iter().product::<usize>()
        {
            return Err(ConfigError::Combination(format!(
                "label_encoder \"image\" reads z as an image of {:?}, and the latents have {latent} numbers; set \
                 class_embedding kind \"prototype\", or label_encoder \"linear\"",
                self.input
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_survives_json() {
        let config = ModelConfig::default();
        config.validate().unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ModelConfig>(&text).unwrap(), config);
    }

    #[test]
    fn nonsense_is_refused_with_the_field_named() {
        let config = ModelConfig {
            time_dim: 3,
            ..Default::default()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .contains("time_dim")
        );
        let config = ModelConfig {
            label_encoder: LabelEncoderConfig::Residual,
            ..Default::default()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .contains("residual")
        );
        let config = ModelConfig {
            label_encoder: LabelEncoderConfig::Image,
            ..Default::default()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .contains("prototype")
        );
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = serde_json::from_str::<ModelConfig>(r#"{"embed_dimm": 3}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field"));
    }
}
