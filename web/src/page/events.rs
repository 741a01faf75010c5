//! Buttons, sliders, keys: from the document to the state, and back.

use js_sys::Uint8Array;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{DragEvent, Event, File, HtmlElement, HtmlOptionElement, KeyboardEvent};

use super::{digits, dom, own, pad, panels, theme, with_app};
use crate::bundled::Bundled;
use crate::logic::clock::Clock;
use crate::logic::settings::{Compare, Picture, Settings};
use crate::protocol::Ready;

/// Wires everything once.
pub fn connect() {
    pad::connect();
    own::connect();
    dataset_control();
    walk_controls();
    view_controls();
    timeline();
    buttons();
    keys();
    drop_files();
    dom::on(&dom::window(), "resize", |_: Event| {
        with_app(|app| app.redraw())
    });
    dom::on_light_scheme(|| {
        theme::follow_system();
        with_app(|app| app.restyle());
    });
    dom::on(&dom::window(), "hashchange", |_: Event| {
        let hash = dom::window().location().hash().unwrap_or_default();
        with_app(|app| app.follow(Settings::from_hash(&hash)));
    });
}

fn dataset_control() {
    let select = dom::select("dataset");
    for dataset in Bundled::ALL {
        let option = dom::create("option", "");
        dom::set(&option, "value", dataset.key());
        option.set_text_content(Some(dataset.title()));
        let _ = select.append_child(&option);
    }
    dom::on(&select, "change", |_: Event| {
        if let Some(dataset) = Bundled::from_key(&dom::select("dataset").value()) {
            with_app(|app| app.choose_dataset(dataset));
        }
    });
    with_app(|app| show_settings(&app.settings));
}

fn walk_controls() {
    dom::on(&dom::element("sampler"), "change", |_: Event| {
        let chosen = dom::select("sampler").value();
        with_app(|app| {
            if let Ok(sampler) = chosen.parse() {
                app.settings.walk.sampler = sampler;
                app.changed();
            }
        });
    });
    dom::on(&dom::element("steps"), "input", |_: Event| {
        let steps = dom::input("steps").value_as_number();
        with_app(|app| {
            app.settings.walk.steps = steps.clamp(1.0, 200.0) as u32;
            app.changed();
        });
    });
    dom::on(&dom::element("seed"), "change", |_: Event| {
        let seed = dom::input("seed").value_as_number();
        with_app(|app| {
            // NaN, where the field is empty, becomes 0.
            app.settings.walk.seed = seed as u64;
            app.changed();
        });
    });
    dom::on(&dom::element("reroll"), "click", |_: Event| {
        with_app(|app| {
            app.settings.walk.seed = (js_sys::Math::random() * 1e6) as u64;
            app.changed();
        });
    });
    dom::on(&dom::element("temperature"), "input", |_: Event| {
        let temperature = dom::input("temperature").value_as_number();
        with_app(|app| {
            app.settings.walk.temperature = temperature.clamp(0.0, 1.5) as f32;
            app.changed();
        });
    });
    let compare = |_: Event| {
        let on = dom::input("compare").checked();
        let with = dom::select("compare-with").value();
        with_app(|app| {
            app.settings.compare = match with.as_str() {
                _ if !on => None,
                "seed" => Some(Compare::Seed),
                sampler => sampler.parse().ok().map(Compare::Sampler),
            };
            app.changed();
        });
    };
    dom::on(&dom::element("compare"), "change", compare);
    dom::on(&dom::element("compare-with"), "change", compare);
}

fn view_controls() {
    dom::on(&dom::element("cloud"), "change", |_: Event| {
        let on = dom::input("cloud").checked();
        with_app(|app| {
            app.view().cloud = on;
            app.view_changed();
        });
    });
    dom::on(&dom::element("field"), "change", |_: Event| {
        let on = dom::input("field").checked();
        with_app(|app| {
            app.view().field = on;
            app.view_changed();
        });
    });
    dom::on(&dom::element("theme"), "click", |_: Event| {
        theme::toggle();
        with_app(|app| app.restyle());
    });
}

fn timeline() {
    dom::on(&dom::element("play"), "click", |_: Event| play());
    for (button, by) in [("back", -1), ("forward", 1)] {
        dom::on(&dom::element(button), "click", move |_: Event| nudge(by));
    }
    dom::on(&dom::element("scrub"), "input", |_: Event| {
        let position = dom::input("scrub").value_as_number();
        with_app(|app| {
            app.clock.seek(position);
            app.redraw();
        });
    });
    dom::on(&dom::element("speed"), "change", |_: Event| {
        let speed = dom::select("speed").value();
        with_app(|app| app.clock.speed = speed.parse().unwrap_or(1.0));
    });
    dom::on(&dom::element("loop"), "change", |_: Event| {
        let on = dom::input("loop").checked();
        with_app(|app| app.clock.repeat = on);
    });
}

fn play() {
    with_app(|app| {
        app.clock.toggle();
        app.redraw();
        app.run();
    });
}

fn nudge(by: i32) {
    with_app(|app| {
        app.clock.nudge(by);
        app.redraw();
    });
}

fn buttons() {
    dom::on(&dom::element("backend"), "click", |_: Event| {
        with_app(|app| app.switch_backend())
    });
    dom::on(&dom::element("retry"), "click", |_: Event| {
        with_app(|app| app.retry())
    });
    dom::on(&dom::element("evaluate"), "click", |_: Event| {
        with_app(|app| app.evaluate())
    });
    dom::on(&dom::element("cancel"), "click", |_: Event| {
        with_app(|app| app.cancel())
    });
    dom::on(&dom::element("share"), "click", |_: Event| {
        with_app(|app| write_hash(&app.settings));
        let Ok(address) = dom::window().location().href() else {
            return;
        };
        let clipboard = dom::window().navigator().clipboard();
        // Only HTTPS and localhost have one.
        let written = (!clipboard.is_undefined()).then(|| clipboard.write_text(&address));
        spawn_local(async move {
            let done = match written {
                Some(written) => JsFuture::from(written).await.is_ok(),
                None => false,
            };
            // Without the clipboard, the address bar has the link.
            dom::set_text("share", if done { "Copied" } else { "Link is above" });
        });
    });
}

/// Space plays, arrows step; within the strip of digits, arrows choose.
fn keys() {
    dom::on(&dom::document(), "keydown", |event: KeyboardEvent| {
        let target: Option<HtmlElement> = event.target().and_then(|target| target.dyn_into().ok());
        let tag = target.as_ref().map(|t| t.tag_name()).unwrap_or_default();
        let drawing = target
            .as_ref()
            .is_some_and(|t| t.closest("dialog").ok().flatten().is_some());
        let busy = drawing
            || matches!(tag.as_str(), "INPUT" | "SELECT" | "A")
            || (event.key() == " " && tag == "BUTTON")
            || event.ctrl_key()
            || event.meta_key()
            || event.alt_key();
        if busy {
            return;
        }
        let in_strip = target.is_some_and(|t| t.closest("#digits").ok().flatten().is_some());
        match (event.key().as_str(), in_strip) {
            ("ArrowLeft", true) => choose(-1),
            ("ArrowRight", true) => choose(1),
            ("ArrowLeft", false) => nudge(-1),
            ("ArrowRight", false) => nudge(1),
            (" ", _) => play(),
            _ => return,
        }
        event.prevent_default();
    });
}

fn choose(by: i32) {
    with_app(|app| {
        if let Some(index) = digits::neighbour(&app.settings.picture, by) {
            app.pick(Picture::Test(index));
        }
    });
}

/// A weights file that is dropped on the page is used, and a picture is classified.
fn drop_files() {
    dom::on(&dom::document(), "dragover", |event: DragEvent| {
        event.prevent_default()
    });
    dom::on(&dom::document(), "drop", |event: DragEvent| {
        event.prevent_default();
        let file = event
            .data_transfer()
            .and_then(|transfer| transfer.files())
            .and_then(|files| files.get(0));
        let Some(file) = file else {
            panels::banner("Drop a model.safetensors file from a run folder.");
            return;
        };
        if file.type_().starts_with("image/") {
            own::show(file);
        } else {
            spawn_local(async move { read(file).await });
        }
    });
}

async fn read(file: File) {
    match JsFuture::from(file.array_buffer()).await {
        Ok(buffer) => {
            let bytes = Uint8Array::new(&buffer).to_vec();
            with_app(|app| app.load(file.name(), bytes));
        }
        Err(_) => panels::banner(&format!("{} cannot be read.", file.name())),
    }
}

/// Keeps the state in the address, without a new entry in the history.
pub fn write_hash(settings: &Settings) {
    let hash = format!("#{}", settings.to_hash());
    if let Ok(history) = dom::window().history() {
        let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&hash));
    }
    dom::set_text("share", "Copy link");
}

/// Offers what walks the model.
pub fn show_model(model: &Ready) {
    let names: Vec<String> = model.samplers.iter().map(ToString::to_string).collect();
    for select in ["sampler", "compare-with"] {
        let options = dom::select(select).children();
        let options = (0..options.length()).filter_map(|i| options.item(i));
        for option in options.filter_map(|option| option.dyn_into::<HtmlOptionElement>().ok()) {
            let value = option.value();
            option.set_disabled(value != "seed" && !names.contains(&value));
        }
    }
    dom::input("steps").set_disabled(model.steps.is_some());
}

/// Shows the settings on their controls.
pub fn show_settings(settings: &Settings) {
    let walk = &settings.walk;
    let dataset = settings.dataset;
    dom::select("dataset").set_value(dataset.key());
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
        Some(Compare::Seed) => dom::select("compare-with").set_value("seed"),
        None => {}
    }
}

/// The timeline has this many steps.
pub fn show_range(steps: usize) {
    dom::set(&dom::input("scrub"), "max", &steps.to_string());
}

/// Shows where the clock stands.
pub fn show_clock(clock: &Clock) {
    dom::input("scrub").set_value(&format!("{:.3}", clock.position));
    dom::set_text(
        "step",
        &format!("step {} of {}", clock.step(), clock.steps()),
    );
    let play = dom::element("play");
    dom::set_text("play", if clock.playing { "❚❚" } else { "▶" });
    dom::set(
        &play,
        "aria-label",
        if clock.playing { "Pause" } else { "Play" },
    );
}
