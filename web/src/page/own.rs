//! Pictures of the user's own, from image files; they stay in the page.

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Event, File, HtmlCanvasElement, HtmlImageElement, Url};

use super::{dom, panels, with_app};
use crate::bundled::Bundled;

/// Wires the button and its choice of a file.
pub fn connect() {
    dom::on(&dom::element("own-open"), "click", |_: Event| {
        dom::input("own-file").click();
    });
    dom::on(&dom::input("own-file"), "change", |_: Event| {
        let input = dom::input("own-file");
        let file = input.files().and_then(|files| files.get(0));
        // The same file may be chosen again.
        input.set_value("");
        if let Some(file) = file {
            show(file);
        }
    });
}

/// Shows the picture in `file`, where the dataset has such pictures.
pub fn show(file: File) {
    with_app(|app| {
        let dataset = app.settings.dataset;
        if dataset.is_drawn() {
            panels::banner(&format!(
                "Pictures of {} are drawn: choose another dataset for {}, or draw a digit.",
                dataset.title(),
                file.name()
            ));
            return;
        }
        spawn_local(async move {
            let name = file.name();
            match read(&file, dataset).await {
                // Meanwhile another dataset may have been chosen.
                Ok(pixels) => with_app(|app| {
                    if app.settings.dataset == dataset {
                        app.own(pixels);
                    }
                }),
                Err(_) => panels::banner(&format!(
                    "{name} cannot be read as a picture: choose a PNG, JPEG or WebP file."
                )),
            }
        });
    });
}

/// The middle square of a picture as `[3, h, w]` of `dataset`.
async fn read(file: &File, dataset: Bundled) -> Result<Vec<u8>, JsValue> {
    let url = Url::create_object_url_with_blob(file)?;
    let image = HtmlImageElement::new()?;
    image.set_src(&url);
    let decoded = JsFuture::from(image.decode()).await;
    let _ = Url::revoke_object_url(&url);
    decoded?;
    let [_, height, width] = dataset.shape();
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
