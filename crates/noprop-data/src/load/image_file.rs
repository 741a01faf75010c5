//! One image file, decoded to the pixels that a model takes.

use std::path::Path;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, Pixel, RgbaImage};

use crate::DataError;
use crate::load::checked_files::check_regular;

/// Longest side of an image, in pixels.
const MAX_SIDE: u32 = 16_384;
/// Largest decoded image, in bytes.
const MAX_DECODED: u64 = 256 << 20;

/// Decodes a PNG, JPEG, WebP or BMP file to pixels `[c, h, w]` of `shape`. The image is turned upright as
/// its EXIF data says, laid over black where it is transparent, converted to grey (1 channel) or RGB (3),
/// and resized to `h`×`w` (triangle filter; the aspect ratio is not kept).
///
/// # Errors
/// When the file is missing, is no file, must not be read, is no such image, is damaged, or has more than 16,384 pixels
/// a side or 256 MiB decoded; or when `shape` has other than 1 or 3 channels. Each error names `path`.
pub fn decode_image(path: &Path, shape: [usize; 3]) -> Result<Vec<u8>, DataError> {
    decode(path)
        .and_then(|image| to_pixels(flatten(image), shape))
        .map_err(|error| error.at(path.display()))
}

/// Whether an image is stored in grey; `None` when it cannot be read. Only the header is read.
pub(crate) fn is_grey(path: &Path) -> Option<bool> {
    let decoder = open(path).ok()?;
    Some(!decoder.color_type().has_color())
}

fn decode(path: &Path) -> Result<DynamicImage, DataError> {
    let mut decoder = open(path)?;
    let orientation = decoder.orientation().map_err(damaged)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    image.apply_orientation(orientation);
    Ok(image)
}

fn damaged(error: ImageError) -> DataError {
    DataError::Image {
        why: error.to_string(),
    }
}

/// Reads the header, and refuses one that announces more than the limits.
fn open(path: &Path) -> Result<impl ImageDecoder, DataError> {
    let reading = |error| DataError::from_io(error, "read");
    check_regular(path)?;
    let mut reader = ImageReader::open(path)
        .map_err(reading)?
        .with_guessed_format()
        .map_err(reading)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(damaged)?;
    if decoder.total_bytes() > MAX_DECODED {
        return Err(DataError::TooLarge { limit: MAX_DECODED });
    }
    Ok(decoder)
}

/// Lays a transparent image over black, the background of MNIST's digits.
fn flatten(image: DynamicImage) -> DynamicImage {
    if !image.color().has_alpha() {
        return image;
    }
    let mut image: RgbaImage = image.into_rgba8();
    for pixel in image.pixels_mut() {
        let alpha = u16::from(pixel[3]);
        pixel.apply_without_alpha(|value| ((u16::from(value) * alpha + 127) / 255) as u8);
    }
    image.into()
}

/// Checks that images can be decoded to this shape.
pub(crate) fn check_shape(shape: [usize; 3]) -> Result<(), DataError> {
    let [channels, height, width] = shape;
    let is_side = |side: &usize| (1..=MAX_SIDE as usize).contains(side);
    if !matches!(channels, 1 | 3) {
        Err(DataError::Channels { channels })
    } else if [height, width].iter().all(is_side) {
        Ok(())
    } else {
        Err(DataError::EmptyShape { shape })
    }
}

fn to_pixels(image: DynamicImage, shape: [usize; 3]) -> Result<Vec<u8>, DataError> {
    check_shape(shape)?;
    let [channels, height, width] = shape;
    let (h, w) = (height as u32, width as u32);
    if channels == 1 {
        let grey = imageops::resize(&image.into_luma8(), w, h, FilterType::Triangle);
        return Ok(grey.into_raw());
    }
    let rgb = imageops::resize(&image.into_rgb8(), w, h, FilterType::Triangle);
    let channel = |index: usize| rgb.pixels().map(move |pixel| pixel[index]);
    Ok((0..3).flat_map(channel).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{GrayImage, Rgb, RgbImage, Rgba};

    use super::*;

    /// Saves an image in a temporary folder and decodes it.
    fn round_trip(image: impl Into<DynamicImage>, name: &str, shape: [usize; 3]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        image.into().save(&path).unwrap();
        decode_image(&path, shape).unwrap()
    }

    #[test]
    fn an_image_of_the_right_size_is_exact_in_lossless_formats() {
        let grey = GrayImage::from_fn(3, 2, |x, y| image::Luma([(10 * x + y) as u8]));
        for name in ["a.png", "a.bmp", "a.webp"] {
            assert_eq!(
                round_trip(grey.clone(), name, [1, 2, 3]),
                grey.as_raw().as_slice()
            );
        }
    }

    #[test]
    fn colours_become_planes() {
        let image = RgbImage::from_fn(2, 1, |x, _| Rgb([x as u8, 10, 20]));
        assert_eq!(
            round_trip(image, "a.png", [3, 1, 2]),
            [0, 1, 10, 10, 20, 20]
        );
    }

    #[test]
    fn other_sizes_are_resized_and_jpeg_is_close() {
        let pixels = round_trip(
            GrayImage::from_pixel(90, 61, [200].into()),
            "a.jpg",
            [1, 28, 28],
        );
        assert_eq!(pixels.len(), 28 * 28);
        assert!(pixels.iter().all(|&pixel| pixel.abs_diff(200) <= 2));
    }

    #[test]
    fn transparency_lies_over_black() {
        let image = RgbaImage::from_fn(2, 1, |x, _| Rgba([255, 255, 255, 255 * (x as u8)]));
        assert_eq!(round_trip(image, "a.png", [1, 1, 2]), [0, 255]);
    }

    #[test]
    fn the_content_counts_and_not_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let (png, jpg) = (folder.path().join("a.png"), folder.path().join("a.jpg"));
        GrayImage::from_pixel(2, 2, [9].into()).save(&png).unwrap();
        fs::rename(&png, &jpg).unwrap();
        assert_eq!(decode_image(&jpg, [1, 2, 2]).unwrap(), [9; 4]);
    }

    #[test]
    fn what_is_no_image_is_a_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| decode_image(path, [1, 28, 28]).unwrap_err().to_string();
        assert!(message(folder.path()).contains("is a directory, expected a file"));
        assert!(message(&folder.path().join("none.png")).ends_with("expected an existing file"));

        let text = folder.path().join("text.txt");
        fs::write(&text, "hello").unwrap();
        let expected = "cannot be read as a PNG, JPEG, WebP or BMP image";
        assert!(message(&text).contains(expected), "{}", message(&text));

        let damaged = folder.path().join("a.png");
        GrayImage::from_fn(40, 40, |x, y| [(x * y) as u8].into())
            .save(&damaged)
            .unwrap();
        let bytes = fs::read(&damaged).unwrap();
        fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
        assert!(
            message(&damaged).contains(expected),
            "{}",
            message(&damaged)
        );
    }

    #[test]
    fn an_image_that_is_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        GrayImage::new(MAX_SIDE + 1, 1).save(&path).unwrap();
        let message = decode_image(&path, [1, 28, 28]).unwrap_err().to_string();
        assert!(message.contains("limit"), "{message}");
    }

    #[test]
    fn shapes_that_no_image_has_are_refused() {
        let image = || DynamicImage::from(GrayImage::new(1, 1));
        assert!(matches!(
            to_pixels(image(), [2, 1, 1]),
            Err(DataError::Channels { channels: 2 })
        ));
        for shape in [[1, 0, 1], [1, 1, usize::MAX]] {
            assert!(matches!(
                to_pixels(image(), shape),
                Err(DataError::EmptyShape { .. })
            ));
        }
    }
}
