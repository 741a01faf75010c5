use image::{Rgb, RgbImage};

use super::{DISC, RecordedStep, RecordedWalk, animated_svg, place};

/// A walk of `count` classes and `steps` steps that starts at class 1 and ends at class 2.
fn walk(count: usize, steps: usize, side: u32) -> RecordedWalk {
    let step = |k: usize| {
        let done = k as f32 / steps.max(1) as f32;
        let mut estimate = vec![0.0; count];
        (estimate[1], estimate[2]) = (1.0 - done, done);
        RecordedStep {
            noise_share: f64::from(1.0 - 0.9 * done),
            readout: estimate.clone(),
            along: estimate.clone(),
            estimate,
        }
    };
    let pixel = |x: u32, y: u32| Rgb([x, y, x * y].map(|value| (value * 89 % 251) as u8));
    RecordedWalk {
        image: RgbImage::from_fn(side, side, pixel),
        classes: (0..count)
            .map(|class| format!("<{class}> & more"))
            .collect(),
        steps: (0..=steps).map(step).collect(),
    }
}

/// Every element is closed in its turn, attributes are quoted, and text is escaped.
fn check_xml(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some((text, after)) = rest.split_once('<') {
        for entity in text.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;"]
                .iter()
                .any(|name| entity.starts_with(name));
            assert!(known, "{text}");
        }
        let (tag, after) = after.split_once('>').unwrap();
        assert!(
            !tag.contains('<') && tag.matches('"').count() % 2 == 0,
            "{tag}"
        );
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = after;
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?}");
}

#[test]
fn the_picture_is_xml_with_the_numbers_of_the_walk() {
    let svg = animated_svg(&walk(10, 10, 28)).unwrap();
    check_xml(&svg);
    assert!(svg.contains("A walk to the label &lt;2&gt; &amp; more</title>"));
    for k in 0..=10 {
        let noise = 100 - 9 * k;
        assert!(
            svg.contains(&format!("step {k} of 10: noise level {noise} %")),
            "{k}"
        );
    }
    assert!(svg.contains("Step 3: 73 % noise, best guess &lt;1&gt; &amp; more (70 %)."));
    // The bars of estimate and readout for class 2 grow from nothing to their whole length.
    assert_eq!(
        svg.matches("{transform:scaleX(0)}15.3%{transform:scaleX(0.1)}")
            .count(),
        2
    );
    assert_eq!(svg.matches("100%,73.4%{transform:scaleX(1)}").count(), 2);
    assert!(svg.contains("data:image/png,%89%50%4e%47"));
}

#[test]
fn a_still_shows_the_last_step() {
    let svg = animated_svg(&walk(3, 4, 8)).unwrap();
    assert!(svg.contains("<g class=\"t f4 last\"><rect class=\"ink\""));
    // Both z and û stand at the last class.
    assert_eq!(
        svg.matches("transform=\"translate(276.2 209.8)\"").count(),
        2
    );
    // One step alone moves nothing.
    let svg = animated_svg(&walk(3, 0, 8)).unwrap();
    check_xml(&svg);
    assert!(svg.contains("step 0 of 0") && !svg.contains("@keyframes m0"));
}

#[test]
fn class_points_lie_on_the_ring_and_noise_farther_out() {
    let radius = |along: &[f32]| {
        let (x, y) = place(along);
        (x - DISC.0).hypot(y - DISC.1) / DISC.2
    };
    assert!((radius(&[0.0, 0.0, 1.0, 0.0]) - 1.0 / 1.6).abs() < 1e-6);
    // The first class is at the top.
    assert!((place(&[1.0, 0.0, 0.0, 0.0]).1 - (DISC.1 - DISC.2 / 1.6)).abs() < 1e-9);
    assert!(radius(&[3.0, 0.0, -1.0, 0.0]) > 0.8 && radius(&[1e9, 0.0, 0.0, 0.0]) < 1.0);
    assert!(place(&[f32::NAN]).0.is_finite() && place(&[]).0.is_finite());
}

#[test]
fn many_steps_classes_and_pixels_fit_into_60_kilobytes() {
    let svg = animated_svg(&walk(100, 1000, 300)).unwrap();
    check_xml(&svg);
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
    assert!(svg.contains("step 0 of 1000:") && svg.contains("step 1000 of 1000:"));
    assert_eq!(svg.matches("noise level ").count(), 21);
}

#[test]
fn a_walk_without_steps_or_classes_is_refused() {
    let mut empty = walk(3, 2, 8);
    empty.classes.clear();
    assert!(animated_svg(&empty).is_err());
    empty.steps.clear();
    assert!(animated_svg(&empty).is_err());
}
