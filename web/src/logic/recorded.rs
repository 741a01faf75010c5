//! What the command line gave for the bundled weights on the bundled test images.

use noprop_core::SamplerKind;
use serde::Deserialize;

use crate::protocol::Walk;

/// Made by `noprop eval`; `assets/README.md` has the command.
const RECORDED: &str = include_str!("../../../assets/mnist.json");

#[derive(Deserialize)]
struct Recorded {
    seed: u64,
    mistakes: Vec<usize>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    sampler: SamplerKind,
    steps: u32,
    accuracy: f64,
}

fn recorded() -> Option<Recorded> {
    serde_json::from_str(RECORDED).ok()
}

/// Test images that the bundled weights get wrong, with DDIM at T = 10 and seed 0.
pub fn mistakes() -> Vec<usize> {
    recorded().map_or_else(Vec::new, |recorded| recorded.mistakes)
}

/// The command line's accuracy in percent for `walk`, where it was recorded.
pub fn accuracy(walk: &Walk) -> Option<f64> {
    let recorded = recorded()?;
    let same_noise = walk.seed == recorded.seed && walk.temperature == 1.0;
    let rows = recorded.rows.into_iter();
    rows.filter(|row| same_noise && row.sampler == walk.sampler && row.steps == walk.steps)
        .map(|row| row.accuracy)
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_walks_are_found_and_others_are_not() {
        let walk = Walk {
            sampler: SamplerKind::Heun,
            steps: 40,
            seed: 0,
            temperature: 1.0,
        };
        assert!(accuracy(&walk).is_some_and(|percent| percent > 97.0));
        assert_eq!(accuracy(&Walk { seed: 1, ..walk }), None);
        assert_eq!(accuracy(&Walk { steps: 41, ..walk }), None);
        let warm = Walk {
            temperature: 1.2,
            ..walk
        };
        assert_eq!(accuracy(&warm), None);
    }

    #[test]
    fn the_mistakes_are_as_many_as_the_accuracy_says() {
        let walk = Walk {
            sampler: SamplerKind::Ddim,
            steps: 10,
            seed: 0,
            temperature: 1.0,
        };
        let wrong = accuracy(&walk).map(|percent| (1000.0 - 10.0 * percent).round() as usize);
        assert_eq!(Some(mistakes().len()), wrong);
    }
}
