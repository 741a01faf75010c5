//! The pixels of a user's own picture: a drawing becomes an image like those of MNIST, and pixels become the text of a
//! link and are read from it.

/// Edge of an image of MNIST.
pub const SIDE: usize = 28;
/// Edge of the box that the digit is fitted into.
const BOX: f32 = 20.0;
/// Ink fainter than this does not count as part of the digit.
const FAINT: u8 = 16;
/// Grey levels of a drawing are multiples of this, so that a link holds it exactly in half the text.
const LEVEL: u8 = 17;
/// The letters of base64url, six bits each.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Turns a `drawing` `[side, side]`, ink 255, into an image `[28, 28]`; returns `None` if there is no ink.
///
/// The digit is fitted into 20 × 20 pixels, and its centre of mass is placed in the middle of the 28 × 28 pixels (LeCun
/// et al., "The MNIST database").
pub fn centre(drawing: &[u8], side: usize) -> Option<Vec<u8>> {
    let at = |x: usize, y: usize| drawing[y * side + x];
    let inked = || (0..side * side).filter(|&i| drawing[i] > FAINT);
    let (left, right) = (
        inked().map(|i| i % side).min()?,
        inked().map(|i| i % side).max()?,
    );
    let (top, bottom) = (
        inked().map(|i| i / side).min()?,
        inked().map(|i| i / side).max()?,
    );
    let extent = (right - left + 1).max(bottom - top + 1) as f32;
    // Pixels of the drawing per pixel of the image.
    let scale = extent / BOX;

    let (mut mass, mut x_mass, mut y_mass) = (0.0, 0.0, 0.0);
    for y in top..=bottom {
        for x in left..=right {
            let ink = f32::from(at(x, y));
            mass += ink;
            x_mass += ink * (x as f32 + 0.5);
            y_mass += ink * (y as f32 + 0.5);
        }
    }
    let middle = SIDE as f32 / 2.0;
    let origin = (
        x_mass / mass - middle * scale,
        y_mass / mass - middle * scale,
    );

    let mean = |column: usize, row: usize| {
        let from = |o: f32, i: usize| o + i as f32 * scale;
        let (x_0, y_0) = (from(origin.0, column), from(origin.1, row));
        let (x_1, y_1) = (x_0 + scale, y_0 + scale);
        let clip = |v: f32| v.clamp(0.0, side as f32);
        let mut sum = 0.0;
        for y in clip(y_0).floor() as usize..clip(y_1).ceil() as usize {
            let height = clip(y_1).min(y as f32 + 1.0) - clip(y_0).max(y as f32);
            for x in clip(x_0).floor() as usize..clip(x_1).ceil() as usize {
                let width = clip(x_1).min(x as f32 + 1.0) - clip(x_0).max(x as f32);
                sum += f32::from(at(x, y)) * width * height;
            }
        }
        (sum / (scale * scale)).round().clamp(0.0, 255.0) as u8
    };
    Some((0..SIDE * SIDE).map(|i| mean(i % SIDE, i / SIDE)).collect())
}

/// Rounds `pixels` to 16 grey levels.
pub fn quantise(pixels: &[u8]) -> Vec<u8> {
    pixels
        .iter()
        .map(|&v| (v.saturating_add(LEVEL / 2) / LEVEL).min(15) * LEVEL)
        .collect()
}

/// Writes pixels that [`quantise`] has rounded as text, four bits a pixel.
pub fn write_drawing(pixels: &[u8]) -> String {
    let nibbles: Vec<u8> = pixels.iter().map(|v| v / LEVEL).collect();
    let pairs = nibbles.chunks(2);
    let packed: Vec<u8> = pairs
        .map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0))
        .collect();
    write_bytes(&packed)
}

/// Reads `count` pixels from a text of [`write_drawing`]; returns `None` for any other text.
pub fn read_drawing(text: &str, count: usize) -> Option<Vec<u8>> {
    let packed = read_bytes(text)?;
    let nibbles = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mut pixels: Vec<u8> = nibbles.map(|level| level * LEVEL).collect();
    let complete = pixels.len() == count.next_multiple_of(2);
    pixels.truncate(count);
    complete.then_some(pixels)
}

/// Writes bytes as text in base64url.
pub fn write_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 4).div_ceil(3));
    for three in bytes.chunks(3) {
        let at = |i: usize| usize::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for k in 0..=three.len() {
            text.push(char::from(DIGITS[bits >> (18 - 6 * k) & 63]));
        }
    }
    text
}

/// Reads bytes from a text of [`write_bytes`]; returns `None` for any other text.
pub fn read_bytes(text: &str) -> Option<Vec<u8>> {
    let value = |byte: u8| DIGITS.iter().position(|&digit| digit == byte);
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4 + 3);
    for four in text.as_bytes().chunks(4) {
        let mut bits = 0;
        for k in 0..4 {
            bits = bits << 6 | four.get(k).map_or(Some(0), |&byte| value(byte))?;
        }
        let three = [16, 8, 0].map(|shift| (bits >> shift & 255) as u8);
        // A single letter holds six bits, too few for a byte.
        let whole = four.len().checked_sub(1).filter(|&whole| whole > 0)?;
        bytes.extend(&three[..whole]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_come_back(all in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(read_bytes(&write_bytes(&all)), Some(all));
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,60}") {
            let _ = read_drawing(&text, 28 * 28);
        }
    }

    #[test]
    fn drawings_come_back() {
        for count in [3, 4] {
            let drawing = [0, LEVEL, 2 * LEVEL, 3 * LEVEL];
            let text = write_drawing(&drawing[..count]);
            assert_eq!(
                read_drawing(&text, count).as_deref(),
                Some(&drawing[..count])
            );
            assert_eq!(read_drawing(&text, count + 2), None);
            assert_eq!(read_drawing(&text, count - 2), None);
        }
    }

    #[test]
    fn quantising_keeps_what_is_quantised() {
        let all: Vec<u8> = (0..=255).collect();
        let once = quantise(&all);
        assert_eq!(quantise(&once), once);
        assert_eq!((once[0], once[255]), (0, 255));
        assert!(
            all.iter()
                .zip(&once)
                .all(|(a, b)| a.abs_diff(*b) <= LEVEL / 2 + 1)
        );
    }

    fn rectangle(side: usize, x: (usize, usize), y: (usize, usize)) -> Vec<u8> {
        (0..side * side)
            .map(|i| {
                let inside = (x.0..x.1).contains(&(i % side)) && (y.0..y.1).contains(&(i / side));
                if inside { 255 } else { 0 }
            })
            .collect()
    }

    #[test]
    fn no_ink_is_no_image() {
        assert_eq!(centre(&vec![0; 280 * 280], 280), None);
        assert_eq!(centre(&vec![FAINT; 280 * 280], 280), None);
    }

    #[test]
    fn a_stroke_in_a_corner_comes_to_the_middle_20_pixels_high() {
        let image = centre(&rectangle(280, (10, 30), (5, 105)), 280).unwrap();
        let rows: Vec<usize> = (0..28)
            .filter(|&r| image[r * 28..(r + 1) * 28].iter().any(|&v| v > 127))
            .collect();
        assert_eq!((rows[0], rows.len()), (4, 20));
        let columns: Vec<usize> = (0..28).filter(|&c| image[14 * 28 + c] > 127).collect();
        // The stroke is 20 pixels wide, at 5 pixels of the drawing per pixel of the image: 4 columns in the middle.
        assert_eq!(columns, [12, 13, 14, 15]);
    }

    #[test]
    fn ink_is_kept_by_averaging() {
        // The box is 100 high, so each pixel is the mean of 5 × 5, and all of the ink arrives.
        let drawing = rectangle(280, (100, 150), (100, 200));
        let image = centre(&drawing, 280).unwrap();
        let (before, after) = (
            drawing.iter().map(|&v| f64::from(v)).sum::<f64>(),
            image.iter().map(|&v| f64::from(v)).sum::<f64>() * 25.0,
        );
        // The tolerance covers the rounding to whole grey levels.
        assert!((after / before - 1.0).abs() < 0.01, "{before}, {after}");
    }

    #[test]
    fn the_centre_of_mass_and_not_of_the_box_is_in_the_middle() {
        // The shape is an L, which has most of its ink at the bottom.
        let mut drawing = rectangle(100, (20, 30), (20, 80));
        for (pixel, more) in drawing.iter_mut().zip(rectangle(100, (20, 70), (70, 80))) {
            *pixel = (*pixel).max(more);
        }
        let image = centre(&drawing, 100).unwrap();
        let mass: f32 = image.iter().map(|&v| f32::from(v)).sum();
        let mean = |axis: fn(usize) -> usize| {
            let sum: f32 = (0..784)
                .map(|i| f32::from(image[i]) * (axis(i) as f32 + 0.5))
                .sum();
            sum / mass
        };
        // The digit is placed to a fraction of a pixel, so only the rounding of grey levels remains.
        assert!((mean(|i| i % 28) - 14.0).abs() < 0.05);
        assert!((mean(|i| i / 28) - 14.0).abs() < 0.05);
    }
}
