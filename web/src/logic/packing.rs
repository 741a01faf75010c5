//! Pixels as text that a link carries: six bits in each letter of base64url.

/// Grey levels of a drawing are multiples of this, so that a link holds it exactly in half the text.
const LEVEL: u8 = 17;
/// base64url.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A drawing in 16 grey levels.
pub fn quantise(pixels: &[u8]) -> Vec<u8> {
    pixels
        .iter()
        .map(|&v| (v.saturating_add(LEVEL / 2) / LEVEL).min(15) * LEVEL)
        .collect()
}

/// Pixels of [`quantise`], four bits each.
pub fn levels(pixels: &[u8]) -> String {
    let nibbles: Vec<u8> = pixels.iter().map(|v| v / LEVEL).collect();
    let pairs = nibbles.chunks(2);
    let packed: Vec<u8> = pairs
        .map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0))
        .collect();
    bytes(&packed)
}

/// The `count` pixels that [`levels`] wrote. Links used to fill up to two more.
pub fn read_levels(text: &str, count: usize) -> Option<Vec<u8>> {
    let packed = read_bytes(text)?;
    let nibbles = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mut pixels: Vec<u8> = nibbles.map(|level| level * LEVEL).collect();
    let complete = (count..count + 3).contains(&pixels.len());
    pixels.truncate(count);
    complete.then_some(pixels)
}

/// Any bytes.
pub fn bytes(bytes: &[u8]) -> String {
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

/// The bytes that [`bytes`] wrote.
pub fn read_bytes(text: &str) -> Option<Vec<u8>> {
    let value = |byte: u8| DIGITS.iter().position(|&digit| digit == byte);
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4 + 3);
    for four in text.as_bytes().chunks(4) {
        let mut bits = 0;
        for k in 0..4 {
            bits = bits << 6 | four.get(k).map_or(Some(0), |&byte| value(byte))?;
        }
        let three = [16, 8, 0].map(|shift| (bits >> shift & 255) as u8);
        // One letter alone is six bits: no byte.
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
            prop_assert_eq!(read_bytes(&bytes(&all)), Some(all));
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,60}") {
            let _ = read_levels(&text, 28 * 28);
        }
    }

    #[test]
    fn drawings_come_back_from_links_of_before_too() {
        let drawing = [0, LEVEL, 2 * LEVEL, 3 * LEVEL];
        // Three levels, twelve bits, in two letters: 0x012, then 0x300 with two that fill up.
        assert_eq!(read_levels("ASMA", 4).as_deref(), Some(&drawing[..]));
        assert_eq!(
            read_levels(&levels(&drawing), 4).as_deref(),
            Some(&drawing[..])
        );
        assert_eq!(read_levels("ASMA", 7), None);
        assert_eq!(read_levels("ASMA", 3), None);
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
}
