//! Learning rate as a function of the step.

use serde::{Deserialize, Serialize};

/// The course of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrSchedule {
    /// The peak throughout.
    #[default]
    Constant,
    /// From the peak to zero along half a cosine.
    Cosine,
    /// Linear from 1/25 of the peak to the peak over the first 30 %, then half a cosine to zero
    /// (Smith & Topin, arXiv:1708.07120).
    OneCycle,
}

impl LrSchedule {
    /// Learning rate of step `step` (from 0) of `total`.
    pub fn at(self, step: usize, total: usize, warmup: usize, peak: f64) -> f64 {
        if step < warmup {
            return peak * (step + 1) as f64 / warmup as f64;
        }
        let position = (step - warmup) as f64 / (total.saturating_sub(warmup)).max(1) as f64;
        let half_cosine = |x: f64| 0.5 * (1.0 + (core::f64::consts::PI * x.min(1.0)).cos());
        match self {
            Self::Constant => peak,
            Self::Cosine => peak * half_cosine(position),
            Self::OneCycle if position < RISE => peak * (START + (1.0 - START) * position / RISE),
            Self::OneCycle => peak * half_cosine((position - RISE) / (1.0 - RISE)),
        }
    }
}

const RISE: f64 = 0.3;
const START: f64 = 1.0 / 25.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn courses_have_their_ends() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} against {b}");
        close(LrSchedule::Constant.at(7, 10, 0, 0.5), 0.5);
        close(LrSchedule::Cosine.at(0, 100, 0, 2.0), 2.0);
        close(LrSchedule::Cosine.at(50, 100, 0, 2.0), 1.0);
        close(LrSchedule::OneCycle.at(0, 100, 0, 1.0), 0.04);
        close(LrSchedule::OneCycle.at(30, 100, 0, 1.0), 1.0);
        close(LrSchedule::OneCycle.at(65, 100, 0, 1.0), 0.5);
        close(LrSchedule::Cosine.at(4, 100, 10, 1.0), 0.5);
        assert!(LrSchedule::Cosine.at(99, 100, 10, 1.0) < 1e-3);
    }
}
