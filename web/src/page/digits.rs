//! The strip of test images.

use wasm_bindgen::JsCast;
use web_sys::HtmlCanvasElement;

use super::app::Samples;
use super::{dom, with_app};
use crate::bundled::Bundled;
use crate::logic::names::with_article;
use crate::logic::recorded;
use crate::logic::settings::Picture;
use crate::logic::strip::{Shown, strip};

/// Fills the strip from the test images of `dataset`.
pub fn fill(dataset: Bundled, samples: &Samples, light: bool) {
    let parent = dom::element("digits");
    parent.set_inner_html("");
    for Shown { index, label, hard } in strip(&samples.labels, &recorded::mistakes(dataset)) {
        let button = dom::create("button", if hard { "digit hard" } else { "digit" });
        dom::set(&button, "type", "button");
        dom::set(&button, "role", "option");
        dom::set(&button, "tabindex", "-1");
        dom::set(&button, "data-index", &index.to_string());
        let often = if hard { ", hard to read" } else { "" };
        let class = with_article(samples.names.get(label).map_or("", String::as_str));
        let name = format!("{class}, test image {index}{often}");
        dom::set(&button, "aria-label", &name);
        dom::set(&button, "title", &name);
        let canvas: HtmlCanvasElement = dom::create("canvas", "").unchecked_into();
        dom::paint(&canvas, samples.image(index), samples.shape, light);
        let _ = button.append_child(&canvas);
        dom::on(&button, "click", move |_: web_sys::Event| {
            with_app(|app| app.pick(Picture::Test(index)));
        });
        let _ = parent.append_child(&button);
    }
}

/// Empties the strip.
pub fn clear() {
    dom::element("digits").set_inner_html("");
}

/// Marks the picture that is shown.
pub fn mark(picture: &Picture) {
    let chosen = match picture {
        Picture::Test(index) => index.to_string(),
        Picture::Drawn(_) | Picture::Own(_) => String::new(),
    };
    each(|button| {
        let here = button.get_attribute("data-index").as_deref() == Some(&chosen);
        dom::set(button, "aria-selected", if here { "true" } else { "false" });
        if here {
            reveal(button);
        }
    });
}

/// Scrolls the strip, and nothing else, so that `button` is seen.
fn reveal(button: &web_sys::Element) {
    let strip = dom::element("digits");
    let (outer, inner) = (
        strip.get_bounding_client_rect(),
        button.get_bounding_client_rect(),
    );
    let beyond = if inner.left() < outer.left() {
        inner.left() - outer.left()
    } else {
        (inner.right() - outer.right()).max(0.0)
    };
    strip.set_scroll_left(strip.scroll_left() + beyond as i32);
}

/// The test image `by` places after the chosen one in the strip.
pub fn neighbour(picture: &Picture, by: i32) -> Option<usize> {
    let mut all = Vec::new();
    each(|button| {
        let index = button.get_attribute("data-index");
        all.extend(index.and_then(|text| text.parse::<usize>().ok()));
    });
    let here = match picture {
        Picture::Test(index) => all.iter().position(|other| other == index).unwrap_or(0),
        Picture::Drawn(_) | Picture::Own(_) => 0,
    };
    let count = i32::try_from(all.len()).ok().filter(|count| *count > 0)?;
    let place = (here as i32 + by).rem_euclid(count);
    all.get(place as usize).copied()
}

fn each(mut act: impl FnMut(&web_sys::Element)) {
    let children = dom::element("digits").children();
    for i in 0..children.length() {
        if let Some(child) = children.item(i) {
            act(&child);
        }
    }
}
