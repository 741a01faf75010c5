use super::*;
use crate::config::ModelConfig;
use crate::method::{Dt, Method};
use crate::sampler::{DDIM, EULER};

fn card(method: Method) -> ModelCard {
    ModelCard {
        method,
        model: ModelConfig {
            input: [3, 8, 8],
            embed_dim: 8,
            ..Default::default()
        },
        normalization: Normalization {
            mean: vec![0.5],
            std: vec![0.25],
        },
        classes: (0..10).map(|i| i.to_string()).collect(),
        dataset: "dots".into(),
        blocks: None,
        inference: None,
    }
}

/// An untrained classifier of images of 8×8 pixels.
pub fn classifier(method: Method) -> Classifier {
    let card = card(method);
    let model = NoProp::new(&card.method, &card.model, 1, &Device::flex()).unwrap();
    Classifier::new(model, card).unwrap()
}

#[test]
fn a_wrong_number_of_pixels_is_an_error() {
    let classifier = classifier(Method::default());
    assert_eq!(classifier.image_shape(), [1, 8, 8]);
    for count in [0, 63, 65, 128] {
        let error = classifier.classify(&vec![0; count]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("64") && text.contains("1x8x8"), "{text}");
    }
}

#[test]
fn grey_pixels_are_normalised_and_repeated() {
    let classifier = classifier(Method::default());
    let pixels: Vec<u8> = (0..64).map(|i| i * 4).collect();
    let images = classifier.images(&pixels).unwrap();
    assert_eq!(images.dims(), [1, 3, 8, 8]);
    let values = images.into_data().try_to_vec::<f32>().unwrap();
    for (k, value) in values.iter().enumerate() {
        let expected = (f32::from(pixels[k % 64]) / 255.0 - 0.5) / 0.25;
        // Two roundings on numbers below 3.
        assert!((value - expected).abs() < 1e-6, "{value} {expected}");
    }
}

#[test]
fn votes_are_the_mean_of_walks_from_seeds_in_a_row() {
    let pixels = [7; 64];
    let walk = Walk::new(DDIM, 5);
    let of = |seed, votes| {
        let classifier = classifier(Method::default());
        let walk = walk.with_seed(seed);
        let classifier = classifier.with_walk(walk).unwrap().with_votes(votes);
        classifier.classify(&pixels).unwrap().probabilities
    };
    let (first, second, both) = (of(3, 1), of(4, 1), of(3, 2));
    assert_ne!(first, second);
    for ((a, b), mean) in first.iter().zip(&second).zip(&both) {
        // Two roundings of probabilities.
        assert!(((a + b) / 2.0 - mean).abs() < 1e-6);
    }
}

#[test]
fn a_recorded_walk_ends_at_the_prediction() {
    for method in [Method::default(), Method::Dt(Dt::default())] {
        let classifier = classifier(method);
        let recorded = classifier.record(&[9; 64]).unwrap();
        let states = classifier.walk().steps + 1;
        for list in [
            recorded.latents.len(),
            recorded.beliefs.len(),
            recorded.probabilities.len(),
            recorded.times.len(),
            recorded.alpha_bar.len(),
        ] {
            assert_eq!(list, states);
        }
        let prediction = classifier.classify(&[9; 64]).unwrap();
        let last = &recorded.probabilities[states - 1];
        for (a, b) in last.iter().zip(&prediction.probabilities) {
            // One row or many rows of a product sum in another order.
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}

#[test]
fn a_card_says_how_the_model_is_asked() {
    let plain = classifier(Method::default());
    assert_eq!(plain.inference(), Inference::usual(&Method::default()));
    let walk = Walk {
        temperature: 0.25,
        ..Walk::new(DDIM, 7).with_seed(2)
    };
    let inference = Inference {
        walk,
        votes: 3,
        views: Views::Flip,
    };
    let card = ModelCard {
        inference: Some(inference),
        ..plain.card().clone()
    };
    let again = Classifier::new(plain.model().clone(), card.clone()).unwrap();
    assert_eq!(again.inference(), inference);
    let asked = plain.with_inference(inference).unwrap();
    let answer = |classifier: &Classifier| classifier.classify(&[5; 64]).unwrap();
    assert_eq!(answer(&again), answer(&asked));

    let walk = Walk::new(crate::sampler::GATED, 7);
    let wrong = ModelCard {
        inference: Some(Inference::by(walk)),
        ..card
    };
    let error = Classifier::new(again.model().clone(), wrong).unwrap_err();
    assert!(error.to_string().contains("gated"), "{error}");
}

#[test]
fn what_cannot_walk_is_an_error() {
    let blocks = classifier(Method::Dt(Dt::default()));
    let error = blocks.clone().with_walk(Walk::new(EULER, 10)).unwrap_err();
    assert!(error.to_string().contains("ddim or ancestral"), "{error}");
    let error = blocks.with_walk(Walk::new(DDIM, 9)).unwrap_err();
    assert!(error.to_string().contains("T = 10"), "{error}");
    let mut incomplete = card(Method::Dt(Dt::default()));
    incomplete.blocks = Some("1-3".parse().unwrap());
    let model = NoProp::new(&incomplete.method, &incomplete.model, 1, &Device::flex()).unwrap();
    assert!(Classifier::new(model, incomplete).is_err());
}

/// Bayes' rule in f64 for one-hot embeddings: p(y|z) ∝ exp(√ᾱ z_y/(1−ᾱ)). The output head alone, whose scale is that
/// of z_1, would be almost sure of a class that the noise suggests.
#[test]
fn on_the_way_a_latent_says_what_its_noise_level_allows() {
    for method in [Method::default(), Method::Dt(Dt::default())] {
        let recorded = classifier(method).record(&[9; 64]).unwrap();
        let before_last = recorded.latents.len() - 1;
        for k in 0..before_last {
            let alpha_bar = f64::from(recorded.alpha_bar[k]);
            let scale = alpha_bar.sqrt() / (1.0 - alpha_bar);
            let weights = recorded.latents[k].iter().map(|&z| scale * f64::from(z));
            let largest = weights.clone().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = weights.map(|w| (w - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for (weight, found) in weights.iter().zip(&recorded.probabilities[k]) {
                // 1 − ᾱ from an f32 ᾱ near 1 has few digits at the clean end, where the scale is large.
                let tolerance = 1e-5 + 1e-6 / (1.0 - alpha_bar);
                let error = (weight / total - f64::from(*found)).abs();
                assert!(error < tolerance.min(0.05), "step {k}: {error}");
            }
        }
    }
}
