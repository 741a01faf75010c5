//! Which schedule a model has.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{
    CosineForm, CosineSchedule, FlowSchedule, GatedSchedule, LearnedSchedule, LinearSchedule,
    NoiseSchedule, ReferenceSchedule,
};
use crate::config::{at_least, value};
use crate::error::ConfigError;

/// Which schedule, with its initial values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// The paper's, with γ₀, γ₁ and γ̃ learned; monotone by construction.
    Learned {
        /// Initial γ at t = 1, the clean end.
        #[serde(default = "default_gamma_0")]
        gamma_0: f64,
        /// Initial γ at t = 0, the noise end.
        #[serde(default = "default_gamma_1")]
        gamma_1: f64,
        /// Hidden units of γ̃.
        #[serde(default = "default_hidden")]
        hidden: usize,
    },
    /// γ̄(t) = t with fixed ends.
    Linear {
        /// γ at t = 1, the clean end.
        #[serde(default = "default_gamma_0")]
        gamma_0: f64,
        /// γ at t = 0, the noise end.
        #[serde(default = "default_gamma_1")]
        gamma_1: f64,
    },
    /// The reference's: unconstrained γ̃, ᾱ = σ(−`scale`·γ), clamped. Kept to reproduce its logs.
    Reference {
        /// Initial γ at t = 1, the clean end.
        gamma_0: f64,
        /// Initial γ at t = 0, the noise end.
        gamma_1: f64,
        /// Hidden units of γ̃.
        #[serde(default = "default_hidden")]
        hidden: usize,
        /// Factor on γ inside the sigmoid: 1 in `nopropct_mnist.py`, ½ in `noprop_simple.py`.
        scale: f64,
        /// ᾱ is clamped to [`clamp`, 1 − `clamp`].
        clamp: f64,
    },
    /// The straight path of flow matching (NoProp-FM): z_t = t u + (1 − t) z_0 + σ ε.
    Flow {
        /// Standard deviation σ around the path, which the paper does not give; 0 is conditional
        /// optimal transport.
        #[serde(default)]
        sigma: f64,
    },
    /// The fixed cosine schedule of NoProp-DT, whose every step is a block of its own.
    Cosine {
        /// Steps T, and blocks.
        #[serde(default = "default_steps")]
        steps: usize,
        /// Which cosine.
        #[serde(default)]
        form: CosineForm,
    },
    /// The gates α_1 … α_T of the paper's baseline that is trained by back-propagation, learned; every
    /// step is a block of its own.
    Gated {
        /// Steps T, and blocks.
        #[serde(default = "default_steps")]
        steps: usize,
    },
}

fn default_gamma_0() -> f64 {
    -7.0
}
fn default_gamma_1() -> f64 {
    7.0
}
fn default_steps() -> usize {
    10
}
fn default_hidden() -> usize {
    64
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Learned {
            gamma_0: default_gamma_0(),
            gamma_1: default_gamma_1(),
            hidden: default_hidden(),
        }
    }
}

/// Most blocks that a model may have.
const MOST_STEPS: usize = 1000;

impl ScheduleConfig {
    /// Whether the process is flow matching, not diffusion.
    pub fn is_flow(&self) -> bool {
        matches!(self, Self::Flow { .. })
    }

    /// T where the process has T discrete steps, each a block of its own (NoProp-DT and the baseline on
    /// its blocks).
    pub fn blocks(&self) -> Option<usize> {
        match *self {
            Self::Cosine { steps, .. } | Self::Gated { steps } => Some(steps),
            _ => None,
        }
    }

    /// Whether the steps are those of the baseline trained by back-propagation.
    pub(crate) fn is_gated(&self) -> bool {
        matches!(self, Self::Gated { .. })
    }

    /// Hidden units of γ̃; 0 where it is not learned.
    pub(crate) fn hidden(&self) -> usize {
        match *self {
            Self::Learned { hidden, .. } | Self::Reference { hidden, .. } => hidden,
            Self::Linear { .. } | Self::Flow { .. } | Self::Cosine { .. } | Self::Gated { .. } => 0,
        }
    }

    fn ends(&self) -> (f64, f64) {
        match *self {
            Self::Flow { .. } | Self::Cosine { .. } | Self::Gated { .. } => {
                (default_gamma_0(), default_gamma_1())
            }
            Self::Learned {
                gamma_0, gamma_1, ..
            }
            | Self::Linear { gamma_0, gamma_1 }
            | Self::Reference {
                gamma_0, gamma_1, ..
            } => (gamma_0, gamma_1),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let (gamma_0, gamma_1) = self.ends();
        // Beyond ±30 the complement of ᾱ is below f32's resolution.
        let in_range = |g: f64| (-30.0..=30.0).contains(&g);
        if !(in_range(gamma_0) && in_range(gamma_1) && gamma_1 > gamma_0) {
            return Err(value(
                "model.schedule",
                format!("gamma_0 = {gamma_0}, gamma_1 = {gamma_1}"),
                "gamma_0 < gamma_1, both between -30 and 30",
            ));
        }
        match *self {
            Self::Learned { hidden, .. } => {
                at_least("model.schedule.hidden", hidden, 1, "at least 1")
            }
            Self::Linear { .. } => Ok(()),
            Self::Flow { sigma } if !(sigma.is_finite() && sigma >= 0.0) => Err(value(
                "model.schedule.sigma",
                sigma,
                "zero or a positive number",
            )),
            Self::Flow { .. } => Ok(()),
            Self::Cosine { steps, .. } | Self::Gated { steps }
                if !(2..=MOST_STEPS).contains(&steps) =>
            {
                Err(value("model.schedule.steps", steps, "from 2 to 1000"))
            }
            Self::Cosine { .. } | Self::Gated { .. } => Ok(()),
            Self::Reference {
                hidden,
                clamp,
                scale,
                ..
            } => {
                if !(0.0..0.5).contains(&clamp) {
                    return Err(value(
                        "model.schedule.clamp",
                        clamp,
                        "at least 0 and below 0.5",
                    ));
                }
                if !(scale.is_finite() && scale > 0.0) {
                    return Err(value("model.schedule.scale", scale, "a positive number"));
                }
                at_least("model.schedule.hidden", hidden, 1, "at least 1")
            }
        }
    }

    /// The schedule with its initial parameters.
    pub fn init(&self, seed: u64, device: &Device) -> NoiseSchedule {
        let (gamma_0, gamma_1) = self.ends();
        match *self {
            Self::Learned { hidden, .. } => {
                NoiseSchedule::Learned(LearnedSchedule::new(gamma_0, gamma_1, hidden, seed, device))
            }
            Self::Linear { .. } => NoiseSchedule::Linear(LinearSchedule { gamma_0, gamma_1 }),
            Self::Flow { sigma } => NoiseSchedule::Flow(FlowSchedule { sigma }),
            Self::Cosine { steps, form } => NoiseSchedule::Cosine(CosineSchedule { steps, form }),
            Self::Gated { steps } => NoiseSchedule::Gated(GatedSchedule::new(steps, device)),
            Self::Reference {
                hidden,
                scale,
                clamp,
                ..
            } => NoiseSchedule::Reference(ReferenceSchedule::new(
                gamma_0, gamma_1, hidden, scale, clamp, seed, device,
            )),
        }
    }
}
