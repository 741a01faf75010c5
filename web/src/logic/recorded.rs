//! What the command line gave for a dataset's bundled weights on its bundled test images.

use noprop_core::SamplerKind;
use serde::Deserialize;

use crate::bundled::Bundled;
use crate::protocol::Walk;

#[derive(Deserialize)]
struct Recorded {
    #[cfg(test)]
    images: f64,
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

fn recorded(dataset: Bundled) -> Option<Recorded> {
    serde_json::from_str(dataset.recorded()).ok()
}

/// Test images that the bundled weights get wrong, with DDIM at T = 10 and seed 0.
pub fn mistakes(dataset: Bundled) -> Vec<usize> {
    recorded(dataset).map_or_else(Vec::new, |recorded| recorded.mistakes)
}

/// The command line's accuracy in percent for `walk`, where it was recorded.
pub fn accuracy(dataset: Bundled, walk: &Walk) -> Option<f64> {
    let recorded = recorded(dataset)?;
    let same_noise = walk.seed == recorded.seed && walk.temperature == 1.0;
    let rows = recorded.rows.into_iter();
    rows.filter(|row| same_noise && row.sampler == walk.sampler && row.steps == walk.steps)
        .map(|row| row.accuracy)
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALK: Walk = Walk {
        sampler: SamplerKind::Ddim,
        steps: 10,
        seed: 0,
        temperature: 1.0,
    };

    #[test]
    fn recorded_walks_are_found_and_others_are_not() {
        for dataset in Bundled::ALL {
            let accuracy = |walk: &Walk| super::accuracy(dataset, walk);
            // Far above chance, which is 10 % for both.
            assert!(accuracy(&WALK).is_some_and(|percent| percent > 50.0));
            assert_eq!(accuracy(&Walk { seed: 1, ..WALK }), None);
            assert_eq!(accuracy(&Walk { steps: 41, ..WALK }), None);
            let warm = Walk {
                temperature: 1.2,
                ..WALK
            };
            assert_eq!(accuracy(&warm), None);
        }
    }

    #[test]
    fn the_mistakes_are_as_many_as_the_accuracy_says() {
        for dataset in Bundled::ALL {
            let images = recorded(dataset).map_or(0.0, |recorded| recorded.images);
            let wrong = accuracy(dataset, &WALK).map(|percent| images * (1.0 - percent / 100.0));
            assert_eq!(
                wrong.map(|wrong| wrong.round() as usize),
                Some(mistakes(dataset).len())
            );
        }
    }
}
