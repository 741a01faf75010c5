//! Each change against a plain re-implementation, pixel by pixel in f64, on fixed draws; and the
//! laws of the draws.

use burn::tensor::Device;

use super::*;

const H: usize = 9;
const W: usize = 12;
const B: usize = 40;
const C: usize = 3;

/// Deviates in [0, 1) without a pattern.
fn uniforms(n: usize) -> Vec<f32> {
    let mut state = 12_345_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0
    };
    (0..n).map(|_| next()).collect()
}

/// Distinct pixels above 0, so that a wrong place and a wrong fill both show.
fn pixel(b: usize, c: usize, y: usize, x: usize) -> f32 {
    (1 + x + W * (y + H * (c + C * b))) as f32
}

/// Values `[b, c, h, w]`.
fn images(device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..B * C * H * W).map(|i| (i + 1) as f32).collect();
    Tensor::from_data(TensorData::new(values, [B, C, H, W]), device)
}

fn draws(config: AugmentConfig) -> Draws {
    Draws::new(config, [H, W], &uniforms(B * UNIFORMS))
}

/// An image as a function of row and column that is 0 outside, changed one step after the other.
type Picture<'a> = Box<dyn Fn(i64, i64) -> f32 + 'a>;

fn frame(picture: Picture<'_>) -> Picture<'_> {
    Box::new(move |y, x| {
        let inside = (0..H as i64).contains(&y) && (0..W as i64).contains(&x);
        if inside { picture(y, x) } else { 0.0 }
    })
}

/// Image (b, c) after the changes of `draw`.
fn expected<'a>(config: &AugmentConfig, draw: &'a Draw, b: usize, c: usize) -> Picture<'a> {
    let mut picture: Picture<'a> = frame(Box::new(move |y, x| pixel(b, c, y as usize, x as usize)));
    if config.crop_padding > 0 {
        let before = picture;
        picture = frame(Box::new(move |y, x| {
            before(y + draw.crop[0] as i64, x + draw.crop[1] as i64)
        }));
    }
    if draw.flip {
        let before = picture;
        picture = Box::new(move |y, x| before(y, W as i64 - 1 - x));
    }
    if config.rotation > 0.0 {
        let before = picture;
        picture = frame(Box::new(move |y, x| {
            let (oy, ox) = origin(draw, y, x);
            before((oy + 0.5).floor() as i64, (ox + 0.5).floor() as i64)
        }));
    }
    if config.translation > 0 {
        let before = picture;
        picture = Box::new(move |y, x| {
            before(
                y - draw.translation[0] as i64,
                x - draw.translation[1] as i64,
            )
        });
    }
    picture
}

/// The exact place in the image of the pixel that the rotation moves to (y, x).
fn origin(draw: &Draw, y: i64, x: i64) -> (f64, f64) {
    let (sin, cos) = f64::from(draw.angle).sin_cos();
    let (cy, cx) = ((H - 1) as f64 / 2.0, (W - 1) as f64 / 2.0);
    let (dy, dx) = (y as f64 - cy, x as f64 - cx);
    (sin * dx + cos * dy + cy, cos * dx - sin * dy + cx)
}

/// Whether f32 may round this pixel's origin to the neighbour.
fn is_ambiguous(config: &AugmentConfig, draw: &Draw, y: i64, x: i64) -> bool {
    let (ty, tx) = (draw.translation[0] as i64, draw.translation[1] as i64);
    let (oy, ox) = origin(draw, y - ty, x - tx);
    let near = |v: f64| ((v + 0.5) - (v + 0.5).round()).abs() < 1e-4;
    config.rotation > 0.0 && (near(oy) || near(ox))
}

fn check(config: AugmentConfig) {
    let draws = draws(config);
    let list = draws.of_images();
    for device in [Device::flex(), Device::flex().autodiff()] {
        let moved = move_pixels(images(&device), &draws).into_data();
        let moved = moved.try_to_vec::<f32>().unwrap();
        let (mut compared, mut changed) = (0, 0);
        for (i, &found) in moved.iter().enumerate() {
            let (b, c, y, x) = (i / (C * H * W), i / (H * W) % C, i / W % H, i % W);
            if is_ambiguous(&config, &list[b], y as i64, x as i64) {
                continue;
            }
            let wanted = expected(&config, &list[b], b, c)(y as i64, x as i64);
            // The comparison is exact, since pixels are looked up and not computed.
            assert_eq!(
                found, wanted,
                "{config:?} image {b}, channel {c}, row {y}, column {x}"
            );
            compared += 1;
            changed += usize::from(wanted != pixel(b, c, y, x));
        }
        assert!(
            compared > moved.len() * 99 / 100,
            "{compared} of {}",
            moved.len()
        );
        assert!(
            changed > moved.len() / 4,
            "{config:?} changes {changed} pixels"
        );
    }
}

#[test]
fn each_move_is_its_re_implementation() {
    let off = AugmentConfig::default();
    check(AugmentConfig {
        crop_padding: 4,
        ..off
    });
    check(AugmentConfig {
        flip: Flip::Random,
        ..off
    });
    check(AugmentConfig {
        rotation: 15.0,
        ..off
    });
    check(AugmentConfig {
        translation: 3,
        ..off
    });
    check(AugmentConfig {
        crop_padding: 4,
        flip: Flip::Random,
        rotation: 15.0,
        translation: 2,
        ..off
    });
    // The images are moved farther than they are wide.
    check(AugmentConfig {
        crop_padding: 20,
        ..off
    });
    check(AugmentConfig {
        rotation: 180.0,
        ..off
    });
}

#[test]
fn a_quarter_turn_is_counter_clockwise() {
    let device = Device::flex();
    let image = Tensor::from_data([[[[1.0, 2.0], [3.0, 4.0]]]], &device);
    let config = AugmentConfig {
        rotation: 90.0,
        ..Default::default()
    };
    let mut uniform = [0.0; UNIFORMS];
    uniform[3] = 1.0 - f32::EPSILON;
    let turned = move_pixels(image, &Draws::new(config, [2, 2], &uniform));
    let turned = turned.into_data().try_to_vec::<f32>().unwrap();
    assert_eq!(turned, [2.0, 4.0, 1.0, 3.0]);
}

#[test]
fn a_cutout_is_a_square_of_zeros() {
    let config = AugmentConfig {
        cutout: 4,
        ..Default::default()
    };
    let draws = draws(config);
    let cut = cut_out(images(&Device::flex()), &draws).into_data();
    let cut = cut.try_to_vec::<f32>().unwrap();
    let list = uniforms(B * UNIFORMS);
    for (i, &found) in cut.iter().enumerate() {
        let (b, c, y, x) = (i / (C * H * W), i / (H * W) % C, i / W % H, i % W);
        let [.., uy, ux] = list.as_chunks::<FIRST>().0[b];
        let first = |u: f32, n: usize| (u * n as f32) as usize as i64 - 2;
        let within = |v: usize, first: i64| (first..first + 4).contains(&(v as i64));
        let hidden = within(y, first(uy, H)) && within(x, first(ux, W));
        let wanted = if hidden { 0.0 } else { pixel(b, c, y, x) };
        assert_eq!(found, wanted, "image {b}, channel {c}, row {y}, column {x}");
    }
}

#[test]
fn nothing_is_done_when_off() {
    let draws = draws(AugmentConfig::default());
    let before = images(&Device::flex());
    let after = cut_out(move_pixels(before.clone(), &draws), &draws);
    assert_eq!(after.into_data(), before.into_data());
    assert!(AugmentConfig::default().is_off());
    assert!(
        !AugmentConfig {
            cutout: 1,
            ..Default::default()
        }
        .is_off()
    );
}

#[test]
fn draws_cover_their_range_and_do_not_depend_on_each_other() {
    let config = AugmentConfig {
        crop_padding: 4,
        flip: Flip::Random,
        rotation: 15.0,
        translation: 2,
        cutout: 3,
        ..Default::default()
    };
    let uniforms = uniforms(20_000 * UNIFORMS);
    let draws = Draws::new(config, [32, 32], &uniforms);
    let values = |f: fn(&Draw) -> f32| draws.of_images().iter().map(f).collect::<Vec<f32>>();
    for offset in [values(|d| d.crop[0]), values(|d| d.crop[1])] {
        for wanted in -4..=4 {
            let count = offset.iter().filter(|&&v| v == wanted as f32).count() as f64;
            // 20,000/9 expected, with a standard deviation of 44; five of them.
            assert!((count - 20_000.0 / 9.0).abs() < 220.0, "{wanted}: {count}");
        }
        assert!(offset.iter().all(|v| v.abs() <= 4.0));
    }
    let angles = values(|d| d.angle.to_degrees());
    assert!(angles.iter().all(|a| a.abs() <= 15.001));
    assert!(angles.iter().any(|a| *a > 14.9) && angles.iter().any(|a| *a < -14.9));
    let flips = draws.of_images().iter().filter(|d| d.flip).count() as f64;
    assert!((flips - 10_000.0).abs() < 5.0 * 70.8, "{flips}");
    assert!(
        values(|d| d.cutout[0])
            .iter()
            .all(|v| (0.0..32.0).contains(v))
    );

    // The largest deviate stays in range, and without the rotation the rest is the same.
    let largest = [1.0 - f32::EPSILON / 2.0; UNIFORMS];
    assert_eq!(
        Draws::new(config, [32, 32], &largest).of_images()[0].crop,
        [4.0, 4.0]
    );
    let other = AugmentConfig {
        rotation: 0.0,
        ..config
    };
    let plain = Draws::new(other, [32, 32], &uniforms);
    assert!(
        plain
            .of_images()
            .iter()
            .zip(draws.of_images())
            .all(|(a, b)| a.crop == b.crop && a.flip == b.flip)
    );
    assert_eq!(draws.rows(3..5).of_images(), &draws.of_images()[3..5]);
}
