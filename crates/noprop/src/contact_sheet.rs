//! A contact sheet: images in a square, each above its label.

use std::convert::Infallible;
use std::io::Cursor;

use anyhow::{Context, Result};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_6X10;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::text::Text;
use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};

/// The smallest side of an image on the sheet, in pixels. An image is enlarged by a whole number.
const SIDE: u32 = 72;
/// Height of a line of text, and space around an image.
const LINE: u32 = 12;
const MARGIN: u32 = 4;
/// Width of a character.
const CHARACTER: u32 = 6;
const PAPER: Rgb<u8> = Rgb([250, 250, 247]);
const INK: Rgb888 = Rgb888::new(40, 40, 40);

/// The sheet as a PNG file. All images have the size of the first.
///
/// # Errors
/// When there is no image, or the sheet is too large to be encoded.
pub fn png(images: &[(RgbImage, &str)]) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    draw(images)?
        .write_to(&mut bytes, ImageFormat::Png)
        .context("the contact sheet cannot be encoded")?;
    Ok(bytes.into_inner())
}

fn draw(images: &[(RgbImage, &str)]) -> Result<RgbImage> {
    let (first, _) = images.first().context("there are no images to show")?;
    let scale = SIDE.div_ceil(first.width().max(first.height())).max(1);
    let (width, height) = (first.width() * scale, first.height() * scale);
    let columns = (images.len() as f64).sqrt().ceil() as u32;
    let rows = (images.len() as u32).div_ceil(columns);
    let (across, down) = (width + MARGIN, height + LINE + MARGIN);
    let mut sheet = RgbImage::from_pixel(columns * across + MARGIN, rows * down + MARGIN, PAPER);
    for (i, (image, label)) in (0..).zip(images) {
        let (x, y) = (MARGIN + i % columns * across, MARGIN + i / columns * down);
        let enlarged = imageops::resize(image, width, height, FilterType::Nearest);
        imageops::replace(&mut sheet, &enlarged, x.into(), y.into());
        let label: String = label.chars().take((width / CHARACTER) as usize).collect();
        let baseline = Point::new(x as i32, (y + height + LINE - MARGIN) as i32);
        let Ok(_) = Text::new(&label, baseline, MonoTextStyle::new(&FONT_6X10, INK))
            .draw(&mut Canvas(&mut sheet));
    }
    Ok(sheet)
}

/// A picture on which embedded-graphics can draw.
struct Canvas<'a>(&'a mut RgbImage);

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        for Pixel(point, colour) in pixels {
            let at = (u32::try_from(point.x), u32::try_from(point.y));
            if let (Ok(x), Ok(y)) = at
                && let Some(pixel) = self.0.get_pixel_mut_checked(x, y)
            {
                *pixel = Rgb([colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_in_a_square_above_their_labels() {
        let images: Vec<(RgbImage, &str)> = (0..5)
            .map(|i| {
                (
                    RgbImage::from_pixel(24, 24, Rgb([i * 50, 0, 9])),
                    "T-shirt/top and more",
                )
            })
            .collect();
        let sheet = draw(&images).unwrap();
        // Three columns and two rows of 72 pixels a side.
        assert_eq!(sheet.dimensions(), (3 * 76 + 4, 2 * 88 + 4));
        for (i, (column, row)) in [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)]
            .into_iter()
            .enumerate()
        {
            let (x, y) = (4 + column * 76, 4 + row * 88);
            assert_eq!(*sheet.get_pixel(x, y), Rgb([i as u8 * 50, 0, 9]));
            assert_eq!(*sheet.get_pixel(x + 71, y + 71), Rgb([i as u8 * 50, 0, 9]));
            // There is ink below the image, and none in the margin beside it.
            let ink =
                |x: u32| (y + 72..y + 84).any(|y| *sheet.get_pixel(x, y) == Rgb([40, 40, 40]));
            assert!((x..x + 72).any(ink), "no label below image {i}");
            assert!(!(x + 72..x + 76).any(ink));
        }
        // A place without an image is paper.
        assert_eq!(*sheet.get_pixel(4 + 2 * 76, 4 + 88), PAPER);
        assert!(png(&images).unwrap().starts_with(b"\x89PNG"));
        assert!(png(&[]).is_err());
    }
}
