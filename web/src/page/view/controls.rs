//! The controls: the strip of test images, the settings, the timeline, and the link that keeps the settings.

use noprop_core::SAMPLERS;
use noprop_protocol::Ready;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Element, HtmlCanvasElement, HtmlOptionElement};

use super::theme;
use crate::bundled::Bundled;
use crate::logic::clock::Clock;
use crate::logic::settings::{Compare, Picture, Settings};
use crate::logic::test_images::{StripImage, TestImages, with_article};
use crate::page::dom;

/// Attribute of a button in the strip: the index of its test image.
pub const INDEX: &str = "data-index";
/// Value of the option that compares with another seed.
pub const OTHER_SEED: &str = "seed";

/// Fills the selects.
pub fn fill() {
    for dataset in Bundled::ALL {
        option("dataset", dataset.name(), dataset.title());
    }
    option("compare-with", OTHER_SEED, "another seed");
    for sampler in SAMPLERS {
        for select in ["sampler", "compare-with"] {
            option(select, sampler.name, sampler.label);
        }
    }
}

fn option(select: &str, value: &str, label: &str) {
    let option = dom::create("option", "");
    dom::set(&option, "value", value);
    option.set_text_content(Some(label));
    let _ = dom::element(select).append_child(&option);
}

/// Offers the samplers that serve `model`, and a choice of T unless the model fixes T.
pub fn model(model: &Ready) {
    let names: Vec<String> = model.samplers.iter().map(ToString::to_string).collect();
    for select in ["sampler", "compare-with"] {
        each(select, |option| {
            if let Some(option) = option.dyn_ref::<HtmlOptionElement>() {
                let value = option.value();
                option.set_disabled(value != OTHER_SEED && !names.contains(&value));
            }
        });
    }
    dom::input("steps").set_disabled(model.steps.is_some());
    let votes = match &model.recommended {
        Some(recommended) if !model.asks_once() => format!(
            "As the weights recommend, {} walk(s) of each image decide; views of an image: {}.",
            recommended.votes, recommended.views
        ),
        _ => String::new(),
    };
    dom::set_text("votes", &votes);
}

/// Shows the settings on their controls.
pub fn settings(settings: &Settings) {
    let walk = &settings.walk;
    let dataset = settings.dataset;
    dom::select("dataset").set_value(dataset.name());
    dom::element("draw-open").set_hidden(!dataset.is_drawn());
    dom::element("own-open").set_hidden(dataset.is_drawn());
    dom::select("sampler").set_value(&walk.sampler.to_string());
    dom::input("steps").set_value(&walk.steps.to_string());
    dom::set_text("steps-value", &walk.steps.to_string());
    dom::input("seed").set_value(&walk.seed.to_string());
    dom::input("temperature").set_value(&walk.temperature.to_string());
    dom::set_text("temperature-value", &format!("{:.2}", walk.temperature));
    dom::input("compare").set_checked(settings.compare.is_some());
    match settings.compare {
        Some(Compare::Sampler(sampler)) => {
            dom::select("compare-with").set_value(&sampler.to_string());
        }
        Some(Compare::Seed) => dom::select("compare-with").set_value(OTHER_SEED),
        None => {}
    }
}

/// Keeps the settings in the address, without a new entry in the history.
pub fn address(settings: &Settings) {
    let hash = format!("#{}", settings.to_hash());
    if let Ok(history) = dom::window().history() {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&hash));
    }
    dom::set_text("share", "Copy link");
}

/// Copies the address to the clipboard.
pub fn copy_address() {
    let Ok(address) = dom::window().location().href() else {
        return;
    };
    let clipboard = dom::window().navigator().clipboard();
    // A page has a clipboard only over HTTPS and on localhost.
    let written = (!clipboard.is_undefined()).then(|| clipboard.write_text(&address));
    spawn_local(async move {
        let done = match written {
            Some(written) => JsFuture::from(written).await.is_ok(),
            None => false,
        };
        // Without the clipboard, the address bar has the link.
        dom::set_text("share", if done { "Copied" } else { "Link is above" });
    });
}

/// Fills the strip of test images, or empties it where there are none.
pub fn strip(images: Option<&TestImages>) {
    let parent = dom::element("digits");
    parent.set_inner_html("");
    let Some(images) = images else { return };
    for &StripImage { index, label, hard } in images.strip() {
        let button = dom::create("button", if hard { "digit hard" } else { "digit" });
        dom::set(&button, "type", "button");
        dom::set(&button, "role", "option");
        dom::set(&button, "tabindex", "-1");
        dom::set(&button, INDEX, &index.to_string());
        let often = if hard { ", hard to read" } else { "" };
        let class = with_article(images.name(label));
        let name = format!("{class}, test image {index}{often}");
        dom::set(&button, "aria-label", &name);
        dom::set(&button, "title", &name);
        let canvas: HtmlCanvasElement = dom::create("canvas", "").unchecked_into();
        dom::paint(
            &canvas,
            images.image(index),
            images.shape(),
            theme::is_light(),
        );
        let _ = button.append_child(&canvas);
        let _ = parent.append_child(&button);
    }
}

/// Marks the picture in the strip, and scrolls it into view.
pub fn mark(picture: &Picture) {
    let chosen = match picture {
        Picture::Test(index) => Some(index.to_string()),
        Picture::Drawn(_) | Picture::Photo(_) => None,
    };
    each("digits", |button| {
        let here = chosen.is_some() && button.get_attribute(INDEX) == chosen;
        dom::set(button, "aria-selected", if here { "true" } else { "false" });
        if here {
            reveal(button);
        }
    });
}

/// Scrolls the strip, and nothing else, so that `button` is seen.
fn reveal(button: &Element) {
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

/// Gives the timeline `steps` steps.
pub fn range(steps: usize) {
    dom::set(&dom::input("scrub"), "max", &steps.to_string());
}

/// Shows the clock's position on the timeline.
pub fn clock(clock: &Clock) {
    dom::input("scrub").set_value(&format!("{:.3}", clock.position));
    dom::set_text(
        "step",
        &format!("step {} of {}", clock.step(), clock.steps()),
    );
    let (sign, action) = if clock.playing {
        ("❚❚", "Pause")
    } else {
        ("▶", "Play")
    };
    dom::set_text("play", sign);
    dom::set(&dom::element("play"), "aria-label", action);
}

/// Calls `act` on each child of the element `id`.
fn each(id: &str, mut act: impl FnMut(&Element)) {
    let children = dom::element(id).children();
    for i in 0..children.length() {
        if let Some(child) = children.item(i) {
            act(&child);
        }
    }
}
