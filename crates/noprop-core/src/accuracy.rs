//! Predictions, their accuracy and its confidence interval.

use serde::{Deserialize, Serialize};

/// The class with the largest of `scores`, which are the logits or probabilities of one image, `[m]`. Of
/// equal scores the last one wins.
pub fn predicted_class(scores: &[f32]) -> usize {
    (0..scores.len())
        .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
        .unwrap_or(0)
}

/// The number of correct predictions among a number of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The number of correct predictions.
    pub correct: usize,
    /// The number of images.
    pub total: usize,
}

impl Accuracy {
    /// The share of correct predictions in percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.correct as f64 / self.total.max(1) as f64
    }

    /// Wilson's 95 % confidence interval of the share in percent: its lower and upper end (Wilson 1927).
    pub fn wilson(&self) -> (f64, f64) {
        const Z: f64 = 1.959_963_984_540_054;
        let n = self.total.max(1) as f64;
        let p = self.correct as f64 / n;
        let centre = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 100.0 / (1.0 + Z * Z / n);
        ((centre - half) * scale, (centre + half) * scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_is_the_published_interval() {
        // 81 of 263: 0.2553 … 0.3662 (Newcombe 1998, table I, method 3).
        let (low, high) = Accuracy {
            correct: 81,
            total: 263,
        }
        .wilson();
        assert!(
            (low - 25.53).abs() < 0.005 && (high - 36.62).abs() < 0.005,
            "{low} {high}"
        );
    }
}
