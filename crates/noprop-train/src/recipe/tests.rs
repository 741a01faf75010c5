use noprop_core::sampler::DDIM;

use super::*;

#[test]
fn the_weights_recommend_what_the_evaluation_does() {
    let usual = Recipe::default();
    assert_eq!(usual.inference(), Inference::usual(&usual.method));
    let recipe = Recipe {
        eval: EvalConfig {
            sampler: Some(DDIM),
            steps: Some(7),
            seed: 3,
            votes: 5,
            temperature: Some(0.35),
            views: Views::FlipShift,
            ..EvalConfig::default()
        },
        ..Recipe::default()
    };
    let walk = Walk {
        temperature: 0.35,
        ..Walk::new(DDIM, 7).with_seed(3)
    };
    let expected = Inference {
        walk,
        votes: 5,
        views: Views::FlipShift,
    };
    assert_eq!(recipe.inference(), expected);
}

#[test]
fn a_temperature_out_of_range_is_refused() {
    for (temperature, is_valid) in [(0.0, true), (4.0, true), (-0.1, false), (4.5, false)] {
        let mut recipe = Recipe::default();
        recipe.eval.temperature = Some(temperature);
        let result = recipe.validate();
        assert_eq!(result.is_ok(), is_valid, "{temperature}");
        if let Err(error) = result {
            assert!(error.to_string().contains("eval.temperature"), "{error}");
        }
    }
}
