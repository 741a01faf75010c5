//! One serde structure describes a model completely; the weights file carries it along.

use serde::{Deserialize, Serialize};

use crate::backbone::BackboneConfig;
use crate::embedding::{ClassEmbeddingConfig, PrototypeSource};
use crate::error::ConfigError;
use crate::schedule::ScheduleConfig;

/// Everything that is needed to build a [`NoProp`](crate::NoProp) network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Number of classes m.
    pub classes: usize,
    /// Shape of an image: channels, height, width.
    pub input: [usize; 3],
    /// Width of the features and of the label and time encodings.
    pub embed_dim: usize,
    /// Channels of the sinusoidal time embedding; even and at least 4.
    pub time_dim: usize,
    /// Factor on t before the sinusoidal embedding. t lies in [0, 1], so with a factor of 1
    /// (the reference) most channels are nearly constant.
    pub time_scale: f64,
    /// How the image becomes features.
    pub backbone: BackboneConfig,
    /// W_Embed.
    pub class_embedding: ClassEmbeddingConfig,
    /// How z_t is encoded.
    pub label_encoder: LabelEncoderConfig,
    /// The part of the denoiser behind the three encoders.
    pub head: HeadConfig,
    /// γ(t), and with it ᾱ(t) and SNR(t).
    pub schedule: ScheduleConfig,
    /// How the last latent becomes class scores.
    pub readout: Readout,
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
            schedule: ScheduleConfig::default(),
            readout: Readout::default(),
        }
    }
}

/// How a latent z is encoded before it meets the features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelEncoderConfig {
    /// Linear → ReLU (figure 6; `nopropct_mnist.py`).
    #[default]
    Linear,
    /// z + Linear(ReLU(Linear z)); needs latents of width `embed_dim` (`noprop_simple.py`).
    Residual,
    /// z as an image, through a convolutional module like figure 6's for the image; needs latents of
    /// image size (prototype images).
    Image,
}

/// The multi-layer perceptron that fuses features, label and time encodings into class logits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadConfig {
    /// Widths of its two hidden layers.
    pub hidden: [usize; 2],
    /// BatchNorm after each hidden linear layer (the reference; the paper has none in CT).
    pub batch_norm: bool,
    /// In flow matching: the last layer gives the velocity itself, d numbers. Off, as in the paper, it
    /// gives m weights of the class embeddings, whose span has no more than m dimensions; what of z_0
    /// lies outside it stays.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub full_rank: bool,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self {
            hidden: [256, 128],
            batch_norm: false,
            full_rank: false,
        }
    }
}

/// How the last latent z_1 becomes class scores p̂_out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readout {
    /// A linear layer on z_1 alone (the paper).
    #[default]
    Linear,
    /// The same layer's class probabilities as a point ỹ among the embeddings, and the distance to each:
    /// p̂(y|z) ∝ exp(−‖ỹ − u_y‖²/(2σ²)) (eq. 14–16; NoProp-DT).
    Posterior,
    /// The class embedding nearest to z_1 (the paper's for flow matching).
    Nearest,
    /// The largest coordinate of z_1; needs one-hot embeddings (`nopropct_mnist.py`).
    ArgmaxZ,
    /// The denoiser's logits at (x, z_1, t = 1) (`noprop_simple.py`).
    Denoiser,
}

impl Readout {
    /// Whether it is a linear layer with what follows.
    pub(crate) fn has_head(self) -> bool {
        matches!(self, Self::Linear | Self::Posterior)
    }
}

impl ModelConfig {
    /// T, where the model has a block for each step and walks in that many steps only (NoProp-DT).
    pub fn blocks(&self) -> Option<usize> {
        self.schedule.blocks()
    }

    /// Dimension d of the latents z and of a class embedding u_y.
    pub fn latent_dim(&self) -> usize {
        self.class_embedding
            .dim(self.classes, self.embed_dim, self.input)
    }

    /// What the denoiser's last layer gives: m logits, or d numbers.
    pub(crate) fn head_outputs(&self) -> usize {
        match self.head.full_rank {
            true => self.latent_dim(),
            false => self.classes,
        }
    }

    /// Checks every value and combination.
    ///
    /// # Errors
    /// The first value that cannot work, with what was expected.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let [channels, height, width] = self.input;
        at_least("model.classes", self.classes, 2, "at least 2")?;
        at_least(
            "model.input",
            channels * height * width,
            1,
            "three positive numbers",
        )?;
        at_least("model.embed_dim", self.embed_dim, 1, "at least 1")?;
        at_least(
            "model.head.hidden",
            self.head.hidden[0].min(self.head.hidden[1]),
            1,
            "at least 1",
        )?;
        if self.time_dim < 4 || !self.time_dim.is_multiple_of(2) {
            return Err(value(
                "model.time_dim",
                self.time_dim,
                "an even number, at least 4",
            ));
        }
        if !(self.time_scale.is_finite() && self.time_scale > 0.0) {
            return Err(value(
                "model.time_scale",
                self.time_scale,
                "a positive number",
            ));
        }
        self.backbone.validate(self.input)?;
        self.class_embedding.validate()?;
        self.schedule.validate()?;

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
        if self.head.full_rank && !self.schedule.is_flow() {
            return Err(ConfigError::Combination(
                "model.head.full_rank is about the velocity of flow matching; set schedule kind \"flow\", or leave \
                 it out"
                    .into(),
            ));
        }
        if self.schedule.is_flow() && !matches!(self.readout, Readout::Nearest | Readout::Linear) {
            return Err(ConfigError::Combination(
                "schedule kind \"flow\" ends at a class embedding; set model.readout to \"nearest\" (or, for \
                 objective \"adjoint\", to \"linear\")"
                    .into(),
            ));
        }
        if self.schedule.blocks().is_some() {
            self.validate_blocks()?;
        } else if self.readout == Readout::Posterior {
            return Err(ConfigError::Combination(
                "readout \"posterior\" is an output head of NoProp-DT; set schedule kind \"cosine\" and \
                 objective \"dt\", or choose another model.readout"
                    .into(),
            ));
        }
        if self.readout == Readout::ArgmaxZ && self.class_embedding != ClassEmbeddingConfig::OneHot
        {
            return Err(ConfigError::Combination(
                "readout \"argmax-z\" reads classes off the coordinates of z; \
                 it needs class_embedding kind \"one-hot\""
                    .into(),
            ));
        }
        Ok(())
    }

    /// What the blocks of NoProp-DT ask for.
    fn validate_blocks(&self) -> Result<(), ConfigError> {
        let refuse = |message: &str| Err(ConfigError::Combination(message.into()));
        if !self.readout.has_head() {
            return refuse(
                "schedule kind \"cosine\" (NoProp-DT) reads the class off z_T with a head of its own; \
                 set model.readout to \"linear\" or \"posterior\"",
            );
        }
        if self.label_encoder == LabelEncoderConfig::Residual {
            return refuse(
                "the blocks of schedule kind \"cosine\" (NoProp-DT) have figure 6's label branch; \
                 leave out model.label_encoder, or set it to \"image\" for latents of image size",
            );
        }
        let random_features = ClassEmbeddingConfig::Prototype {
            source: PrototypeSource::RandomFeatures,
        };
        if self.class_embedding == random_features {
            return refuse(
                "prototypes from random features need the one backbone that NoProp-DT does not have; \
                 set class_embedding source to \"image\"",
            );
        }
        Ok(())
    }
}

pub(crate) fn value(
    field: &'static str,
    found: impl ToString,
    expected: &'static str,
) -> ConfigError {
    ConfigError::Value {
        field,
        found: found.to_string(),
        expected,
    }
}

pub(crate) fn at_least(
    field: &'static str,
    found: usize,
    least: usize,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if found < least {
        Err(value(field, found, expected))
    } else {
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
            class_embedding: ClassEmbeddingConfig::Learned {
                dim: Some(20),
                init: Default::default(),
            },
            readout: Readout::ArgmaxZ,
            ..Default::default()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .contains("one-hot")
        );
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = serde_json::from_str::<ModelConfig>(r#"{"embed_dimm": 3}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field"));
    }
}
