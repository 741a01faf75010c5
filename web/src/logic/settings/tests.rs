use noprop_core::SAMPLERS;
use noprop_core::sampler::{ANCESTRAL, HEUN};

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_link_is_read_as_it_was_written(
        dataset in 0_usize..Bundled::ALL.len(),
        index in 0_usize..1000,
        own in proptest::option::of(proptest::collection::vec(0_u8..=255, 3 * 32 * 32)),
        sampler in 0..SAMPLERS.len(),
        steps in 1_u32..=200,
        seed in any::<u64>(),
        temperature in 0_u32..=80,
        chosen in any::<[bool; 3]>(),
        compare in 0..SAMPLERS.len() + 2,
        backend in 0_usize..3,
    ) {
        let dataset = Bundled::ALL[dataset];
        let size: usize = dataset.shape().iter().product();
        let [has_sampler, has_steps, has_temperature] = chosen;
        let settings = Settings {
            dataset,
            picture: match own {
                Some(pixels) if dataset.is_drawn() => Picture::Drawn(pixels::quantise(&pixels[..size])),
                Some(pixels) => Picture::Photo(pixels[..size].to_vec()),
                None => Picture::Test(index),
            },
            walk: Walk {
                sampler: if has_sampler { SAMPLERS[sampler] } else { USUAL.sampler },
                steps: if has_steps { steps } else { USUAL.steps },
                seed,
                temperature: if has_temperature { temperature as f32 * 0.05 } else { 1.0 },
            },
            chosen: Chosen {
                sampler: has_sampler,
                steps: has_steps,
                temperature: has_temperature,
            },
            compare: match compare {
                0 => Some(Compare::Seed),
                1 => None,
                k => Some(Compare::Sampler(SAMPLERS[k - 2])),
            },
            backend: [None, Some(Backend::Cpu), Some(Backend::WebGpu)][backend],
        };
        prop_assert_eq!(Settings::from_hash(&format!("#{}", settings.to_hash())), settings);
    }

    #[test]
    fn no_link_is_too_strange(text in ".{0,200}") {
        let settings = Settings::from_hash(&text);
        prop_assert!((1..=200).contains(&settings.walk.steps));
    }
}

#[test]
fn a_control_keeps_numbers_in_their_range() {
    let mut settings = Settings::default();
    for (given, kept) in [(0, 1), (40, 40), (999, 200)] {
        settings.set(Setting::Steps(given));
        assert_eq!(settings.walk.steps, kept);
    }
    for (given, kept) in [(-1.0, 0.0), (0.5, 0.5), (9.0, 4.0)] {
        settings.set(Setting::Temperature(given));
        assert_eq!(settings.walk.temperature, kept);
    }
}

#[test]
fn weights_recommend_what_the_user_did_not_choose() {
    let recommended = Walk {
        sampler: HEUN,
        steps: 500,
        seed: 9,
        temperature: 0.0,
    };
    let mut settings = Settings::from_hash("image=2&seed=5");
    settings.recommend(Some(recommended));
    let Walk {
        sampler,
        steps,
        seed,
        temperature,
    } = settings.walk;
    assert_eq!((sampler, steps, seed, temperature), (HEUN, 200, 5, 0.0));
    assert_eq!(settings.to_hash(), "image=2&seed=5");
    // Other weights recommend nothing.
    settings.recommend(None);
    assert_eq!(settings.walk, Walk { seed: 5, ..USUAL });

    let mut settings = Settings::from_hash("steps=7");
    settings.set(Setting::Temperature(0.5));
    settings.recommend(Some(recommended));
    let Walk {
        sampler,
        steps,
        temperature,
        ..
    } = settings.walk;
    assert_eq!((sampler, steps, temperature), (HEUN, 7, 0.5));
}

#[test]
fn a_picture_that_is_none_of_the_dataset_is_left_out() {
    let drawing = format!("drawing={}", pixels::write_drawing(&[0; 28 * 28]));
    let drawn = |hash: &str| Settings::from_hash(hash).picture != Picture::Test(0);
    assert!(drawn(&drawing));
    assert!(!drawn(&format!("dataset=cifar10&{drawing}")));
    // In whatever order.
    assert!(!drawn(&format!("{drawing}&dataset=cifar10")));
    let own = format!("picture={}", pixels::write_bytes(&[7; 3 * 32 * 32]));
    assert!(drawn(&format!("dataset=cifar10&{own}")));
    assert!(!drawn(&own));
    let short = format!("dataset=cifar10&picture={}", pixels::write_bytes(&[7; 12]));
    assert!(!drawn(&short));
}

#[test]
fn a_model_has_its_samplers_and_perhaps_its_steps() {
    let mut settings = Settings::from_hash("sampler=heun&steps=40&compare=euler");
    settings.fit(SAMPLERS, None);
    assert_eq!((settings.walk.sampler, settings.walk.steps), (HEUN, 40));
    assert!(settings.compare.is_some());
    settings.fit(&[DDIM, ANCESTRAL], Some(10));
    assert_eq!((settings.walk.sampler, settings.walk.steps), (DDIM, 10));
    assert_eq!(settings.compare, None);
    settings.compare = Some(Compare::Seed);
    settings.fit(&[DDIM], None);
    assert_eq!(settings.compare, Some(Compare::Seed));
}
