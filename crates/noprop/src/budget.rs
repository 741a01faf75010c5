//! `--budget`: a fraction of a training.

use core::fmt;
use core::str::FromStr;
use std::time::Duration;

/// How much of a training to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// So many epochs.
    Epochs(usize),
    /// Until so much time has passed, evaluations included.
    Time(Duration),
}

impl Budget {
    /// The time, where it is one.
    pub fn time(self) -> Option<Duration> {
        match self {
            Self::Epochs(_) => None,
            Self::Time(time) => Some(time),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(1) => write!(f, "1 epoch"),
            Self::Epochs(epochs) => write!(f, "{epochs} epochs"),
            Self::Time(time) => write!(f, "{}", humantime::format_duration(*time)),
        }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let budget = match text.parse() {
            Ok(epochs) => Self::Epochs(epochs),
            Err(_) => Self::Time(humantime::parse_duration(text).map_err(|_| {
                format!("{text:?} is neither a number of epochs nor a time such as 90s, 10m or 2h")
            })?),
        };
        match budget {
            Self::Epochs(0) | Self::Time(Duration::ZERO) => {
                Err("a budget of nothing trains nothing".into())
            }
            _ => Ok(budget),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_epochs_and_a_unit_makes_a_time() {
        let parse = |text: &str| text.parse::<Budget>();
        assert_eq!(parse("3"), Ok(Budget::Epochs(3)));
        assert_eq!(parse("90s"), Ok(Budget::Time(Duration::from_secs(90))));
        assert_eq!(parse("1h 30m").unwrap().to_string(), "1h 30m");
        for wrong in ["0", "0s", "-3", "ten", "3 parsecs", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
