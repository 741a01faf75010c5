//! Mirrored places, bilinear interpolation, strokes and alternating flips against values computed in f64.

use burn::tensor::Device;

use super::*;

const SIDE: usize = 8;

fn value(y: usize, x: usize) -> f64 {
    ((y * 37 + x * 101) % 253) as f64
}

fn image() -> Tensor<4> {
    let values: Vec<f32> = (0..SIDE * SIDE)
        .map(|i| value(i / SIDE, i % SIDE) as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, [1, 1, SIDE, SIDE]), &Device::flex())
}

fn one(config: AugmentConfig, draw: Draw) -> Draws {
    Draws {
        config,
        of_images: vec![draw],
    }
}

fn still() -> Draw {
    Draw {
        crop: [0.0; 2],
        flip: false,
        angle: 0.0,
        translation: [0.0; 2],
        cutout: [0.0; 2],
        scale: 1.0,
        shear: 0.0,
        stroke: 0.0,
    }
}

fn moved(config: AugmentConfig, draw: Draw) -> Vec<f64> {
    let moved = move_pixels(image(), &one(config, draw));
    moved.into_data().iter::<f64>().collect()
}

fn mirror(i: i64) -> usize {
    let last = SIDE as i64 - 1;
    let i = if i < 0 { -i } else { i };
    (if i > last { 2 * last - i } else { i }) as usize
}

#[test]
fn places_outside_are_mirrored() {
    let config = AugmentConfig {
        translation: 3,
        crop_padding: 2,
        flip: Flip::Random,
        fill: Fill::Reflect,
        ..Default::default()
    };
    for (down, right, crop, flip) in [(2, -3, 0, false), (-3, 1, 2, true), (3, 3, -2, false)] {
        let draw = Draw {
            translation: [down as f32, right as f32],
            crop: [crop as f32, -crop as f32],
            flip,
            ..still()
        };
        for (i, found) in moved(config, draw).into_iter().enumerate() {
            let (y, x) = ((i / SIDE) as i64, (i % SIDE) as i64);
            let (y, x) = (mirror(y - down), mirror(x - right));
            let x = if flip { SIDE - 1 - x } else { x };
            let (y, x) = (mirror(y as i64 + crop), mirror(x as i64 - crop));
            assert_eq!(found, value(y, x), "pixel {i} of {draw:?}");
        }
    }
}

#[test]
fn scale_shear_and_rotation_are_interpolated() {
    for fill in [Fill::Zero, Fill::Reflect] {
        let config = AugmentConfig {
            rotation: 30.0,
            scale: 0.2,
            shear: 10.0,
            fill,
            ..Default::default()
        };
        let draw = Draw {
            angle: 0.3,
            scale: 0.85,
            shear: -0.15,
            ..still()
        };
        let (sin, cos) = 0.3_f64.sin_cos();
        let at = |y: i64, x: i64| -> f64 {
            let inside = (0..8).contains(&y) && (0..8).contains(&x);
            match fill {
                Fill::Zero if !inside => 0.0,
                _ => value(mirror(y), mirror(x)),
            }
        };
        for (i, found) in moved(config, draw).into_iter().enumerate() {
            let (dy, dx) = ((i / SIDE) as f64 - 3.5, (i % SIDE) as f64 - 3.5);
            let v = (dx * sin + dy * cos) / 0.85;
            let u = (dx * cos - dy * sin) / 0.85 + 0.15 * v;
            let (y, x) = (v + 3.5, u + 3.5);
            let (top, left) = (y.floor(), x.floor());
            let (below, right) = (y - top, x - left);
            let (top, left) = (top as i64, left as i64);
            let wanted = (1.0 - below) * (1.0 - right) * at(top, left)
                + (1.0 - below) * right * at(top, left + 1)
                + below * (1.0 - right) * at(top + 1, left)
                + below * right * at(top + 1, left + 1);
            assert!(
                (found - wanted).abs() < 2e-3,
                "{i}: {found} against {wanted}"
            );
        }
    }
}

#[test]
fn a_larger_scale_enlarges() {
    // A bright square of 2×2 pixels in the middle becomes larger, and its sum with it.
    let mut values = vec![0.0_f32; 64];
    for i in [27, 28, 35, 36] {
        values[i] = 1.0;
    }
    let image = Tensor::from_data(TensorData::new(values, [1, 1, 8, 8]), &Device::flex());
    let config = AugmentConfig {
        scale: 0.5,
        ..Default::default()
    };
    let draw = Draw {
        scale: 1.5,
        ..still()
    };
    let sum = move_pixels(image, &one(config, draw))
        .sum()
        .into_scalar::<f32>();
    assert!(sum > 6.0, "{sum}");
}

#[test]
fn strokes_become_thicker_or_thinner() {
    let config = AugmentConfig {
        stroke: 1.0,
        ..Default::default()
    };
    for stroke in [0.4_f32, -0.7, 0.0] {
        let draw = Draw { stroke, ..still() };
        let changed = change_strokes(image(), &one(config, draw));
        let changed: Vec<f64> = changed.into_data().iter::<f64>().collect();
        for (i, found) in changed.into_iter().enumerate() {
            let (y, x) = (i / SIDE, i % SIDE);
            let around = |n: usize| n.saturating_sub(1)..(n + 2).min(SIDE);
            let all = around(y).flat_map(|y| around(x).map(move |x| value(y, x)));
            let extreme = match stroke > 0.0 {
                true => all.fold(f64::MIN, f64::max),
                false => all.fold(f64::MAX, f64::min),
            };
            let share = f64::from(stroke.abs());
            let wanted = (1.0 - share) * value(y, x) + share * extreme;
            assert!(
                (found - wanted).abs() < 1e-3,
                "{i}: {found} against {wanted}"
            );
        }
    }
}

#[test]
fn alternating_flips_every_second_pass() {
    let config = AugmentConfig {
        flip: Flip::Alternating,
        ..Default::default()
    };
    let indices: Vec<usize> = (0..1000).map(|i| (i * 7) % 1000).collect();
    let flips = |seed, pass, indices: &[usize]| -> Vec<bool> {
        let draws = Draws::new(config, [8, 8], &vec![0.25; indices.len() * UNIFORMS]);
        let draws = draws.in_pass(seed, pass, indices);
        draws.of_images().iter().map(|draw| draw.flip).collect()
    };
    let first = flips(3, 0, &indices);
    let count = first.iter().filter(|flip| **flip).count();
    // 500 expected with a standard deviation of 16.
    assert!((420..580).contains(&count), "{count}");
    let second = flips(3, 1, &indices);
    assert!(first.iter().zip(&second).all(|(a, b)| a != b));
    assert_eq!(flips(3, 2, &indices), first);
    assert_ne!(flips(4, 0, &indices), first);
    // It is the image that counts, not its place in the batch.
    assert_eq!(flips(3, 0, &indices[500..]), first[500..]);
}

#[test]
fn a_flip_is_read_from_a_word_or_a_truth_value() {
    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    struct Holder {
        flip: Flip,
    }
    let read = |text: &str| serde_json::from_str::<Holder>(&format!("{{\"flip\":{text}}}"));
    for (text, flip) in [
        ("false", Flip::Off),
        ("true", Flip::Random),
        ("\"random\"", Flip::Random),
        ("\"alternating\"", Flip::Alternating),
    ] {
        let holder = read(text).unwrap();
        assert_eq!(holder.flip, flip);
        let written = serde_json::to_string(&holder).unwrap();
        assert_eq!(serde_json::from_str::<Holder>(&written).unwrap(), holder);
    }
    let error = read("\"sideways\"").unwrap_err().to_string();
    assert!(
        error.contains("false, true, \"random\" or \"alternating\""),
        "{error}"
    );
}
