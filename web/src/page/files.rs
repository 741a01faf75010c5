//! Files of the user's own. They stay in the page.

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, HtmlCanvasElement, HtmlImageElement, Url};

use super::dom;
use super::message::Message;
use crate::bundled::Bundled;

/// Reads a weights file.
pub async fn weights(file: File) -> Message {
    match JsFuture::from(file.array_buffer()).await {
        Ok(buffer) => Message::Weights {
            name: file.name(),
            bytes: Uint8Array::new(&buffer).to_vec(),
        },
        Err(_) => Message::Notice(format!("{} cannot be read.", file.name())),
    }
}

/// Reads an image file in the shape of `dataset`.
pub async fn photo(file: File, dataset: Bundled) -> Message {
    match middle_square(&file, dataset.shape()).await {
        Ok(pixels) => Message::Photo { dataset, pixels },
        Err(_) => Message::Notice(format!(
            "{} cannot be read as a picture: choose a PNG, JPEG or WebP file.",
            file.name()
        )),
    }
}

/// The middle square of a picture, scaled to `shape` `[3, h, w]`.
async fn middle_square(file: &File, [_, height, width]: [usize; 3]) -> Result<Vec<u8>, JsValue> {
    let url = Url::create_object_url_with_blob(file)?;
    let image = HtmlImageElement::new()?;
    image.set_src(&url);
    let decoded = JsFuture::from(image.decode()).await;
    let _ = Url::revoke_object_url(&url);
    decoded?;
    let canvas: HtmlCanvasElement = dom::create("canvas", "").unchecked_into();
    canvas.set_width(width as u32);
    canvas.set_height(height as u32);
    let context = dom::context(&canvas);
    // Large pictures are averaged, not sampled.
    Reflect::set(
        &context,
        &dom::js("imageSmoothingQuality"),
        &dom::js("high"),
    )?;
    let (w, h) = (
        f64::from(image.natural_width()),
        f64::from(image.natural_height()),
    );
    let side = w.min(h);
    let (x, y) = ((w - side) / 2.0, (h - side) / 2.0);
    let (width, height) = (width as f64, height as f64);
    context.draw_image_with_html_image_element_and_sw_and_sh_and_dx_and_dy_and_dw_and_dh(
        &image, x, y, side, side, 0.0, 0.0, width, height,
    )?;
    let rgba = context.get_image_data(0.0, 0.0, width, height)?.data();
    let plane = |channel: usize| rgba.iter().skip(channel).step_by(4).copied();
    Ok((0..3).flat_map(plane).collect())
}
