//! Probabilities, numbers, names and images as text of an SVG file.

use std::fmt::Write as _;
use std::io::Cursor;

use anyhow::{Context, Result};
use image::imageops::{self, FilterType};
use image::{ImageFormat, RgbImage};

/// The largest number of pixels along a side of the embedded image; a larger image is scaled down.
const MOST_PIXELS: u32 = 48;

/// The colours of classes: those of Okabe and Ito, which colour-blind people can tell apart, and two more. A name
/// stands beside each colour.
const HUES: [&str; 10] = [
    "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#b8a400", "#8c8c8c",
    "#9467bd", "#c68642",
];

pub fn hue(class: usize) -> &'static str {
    HUES[class % HUES.len()]
}

/// The probability of `class`, from 0 to 1; 0 if there is none or it is NaN.
pub fn at(probabilities: &[f32], class: usize) -> f32 {
    let p = probabilities.get(class).copied().unwrap_or_default();
    if p.is_finite() {
        p.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// The class with the largest probability.
pub fn likeliest(probabilities: &[f32]) -> Option<usize> {
    (0..probabilities.len()).max_by(|&a, &b| at(probabilities, a).total_cmp(&at(probabilities, b)))
}

pub fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// A number with at most `digits` decimals and without zeros at its end.
pub fn short(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The name of a class as XML text of at most `most` characters.
pub fn clipped(classes: &[String], class: usize, most: usize) -> String {
    let name = classes.get(class).map_or("", String::as_str);
    let mut clipped: String = name.chars().take(most).collect();
    if name.chars().nth(most).is_some() {
        clipped.pop();
        clipped.push('…');
    }
    let printable = clipped.replace(char::is_control, " ");
    printable
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The image as the data URI of a PNG file.
///
/// # Errors
/// When the image cannot be encoded.
pub fn data_uri(image: &RgbImage) -> Result<String> {
    let (width, height) = image.dimensions();
    let largest = width.max(height);
    let side = |length: u32| (length * MOST_PIXELS / largest).max(1);
    let small = (largest > MOST_PIXELS)
        .then(|| imageops::resize(image, side(width), side(height), FilterType::Triangle));
    let mut bytes = Cursor::new(Vec::new());
    small
        .as_ref()
        .unwrap_or(image)
        .write_to(&mut bytes, ImageFormat::Png)
        .context("the image cannot be encoded")?;
    let mut uri = "data:image/png,".to_owned();
    for byte in bytes.get_ref() {
        let _ = write!(uri, "%{byte:02x}");
    }
    Ok(uri)
}
