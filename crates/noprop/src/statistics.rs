//! A mean and how sure it is.

/// Mean and standard error of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Its standard error, s/√n; absent for a single value.
    pub standard_error: Option<f64>,
}

impl Mean {
    /// That of `values`, of which there must be one.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self {
            mean,
            standard_error: (values.len() > 1).then(|| (variance / n).sqrt()),
        }
    }
}

impl core::fmt::Display for Mean {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.standard_error {
            Some(error) => f.pad(&format!("{:.2} ± {error:.2}", self.mean)),
            None => f.pad(&format!("{:.2}", self.mean)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_the_mean() {
        let mean = Mean::of(&[1.0, 3.0]);
        // s = √2, divided by √2.
        assert_eq!((mean.mean, mean.standard_error), (2.0, Some(1.0)));
        assert_eq!(mean.to_string(), "2.00 ± 1.00");
        assert_eq!(Mean::of(&[4.0]).to_string(), "4.00");
    }
}
