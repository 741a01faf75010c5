//! Turns events of the document into messages: buttons, sliders, keys, the drawing pad and files.

use noprop_core::Sampler;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::{
    DragEvent, Element, Event, EventTarget, File, HtmlCanvasElement, HtmlDialogElement,
    KeyboardEvent, PointerEvent,
};

use super::message::{Emit, Message, PadEvent};
use super::view::controls::{INDEX, OTHER_SEED};
use super::view::pad;
use super::{dom, files};
use crate::bundled::Bundled;
use crate::logic::settings::{Compare, Picture, Setting, Settings};

/// Emits a message for every event of the page, for as long as it lives.
pub fn connect(emit: Emit) {
    picture(emit);
    drawing_pad(emit);
    settings(emit);
    timeline(emit);
    buttons(emit);
    keys(emit);
    dropped_files(emit);
    dom::on(&dom::window(), "resize", move |_: Event| {
        emit(Message::Resized)
    });
    dom::on_light_scheme(move || emit(Message::SystemTheme));
    dom::on(&dom::window(), "hashchange", move |_: Event| {
        emit(Message::Address(Settings::from_hash(&dom::hash())));
    });
}

/// Emits the message that `message` makes of each `event` of the element `id`, if it makes one.
fn on<M: Into<Option<Message>>>(
    emit: Emit,
    id: &str,
    event: &str,
    message: impl Fn() -> M + 'static,
) {
    dom::on(&dom::element(id), event, move |_: Event| {
        if let Some(message) = message().into() {
            emit(message);
        }
    });
}

fn picture(emit: Emit) {
    on(emit, "dataset", "change", || {
        Bundled::from_name(&dom::select("dataset").value()).map(Message::Dataset)
    });
    dom::on(&dom::element("digits"), "click", move |event: Event| {
        let button = closest(event.target(), &format!("[{INDEX}]"));
        let index = button.and_then(|button| button.get_attribute(INDEX)?.parse().ok());
        if let Some(index) = index {
            emit(Message::Picture(Picture::Test(index)));
        }
    });
    dom::on(&dom::element("own-open"), "click", |_: Event| {
        dom::input("own-file").click();
    });
    on(emit, "own-file", "change", || {
        let input = dom::input("own-file");
        let file = input.files().and_then(|files| files.get(0));
        // The user may choose the file again.
        input.set_value("");
        file.map(Message::PhotoFile)
    });
}

fn drawing_pad(emit: Emit) {
    let canvas: HtmlCanvasElement = dom::get("pad");
    on(emit, "draw-open", "click", || Message::Pad(PadEvent::Open));
    on(emit, "undo", "click", || Message::Pad(PadEvent::Undo));
    on(emit, "clear", "click", || Message::Pad(PadEvent::Clear));
    dom::on(&dom::element("draw-done"), "click", |_: Event| {
        dom::get::<HtmlDialogElement>("draw").close();
    });
    let pad = canvas.clone();
    dom::on(&canvas, "pointerdown", move |event: PointerEvent| {
        event.prevent_default();
        // A second finger or a palm does not draw.
        if event.is_primary() && event.button() == 0 {
            // The stroke goes on when the pen leaves the pad.
            let _ = pad.set_pointer_capture(event.pointer_id());
            emit(Message::Pad(PadEvent::Down(point(&pad, &event))));
        }
    });
    let pad = canvas.clone();
    dom::on(&canvas, "pointermove", move |event: PointerEvent| {
        if event.is_primary() {
            event.prevent_default();
            emit(Message::Pad(PadEvent::Move(point(&pad, &event))));
        }
    });
    for end in ["pointerup", "pointercancel"] {
        dom::on(&canvas, end, move |event: PointerEvent| {
            if event.is_primary() {
                emit(Message::Pad(PadEvent::Up));
            }
        });
    }
}

/// The place of the event in pixels of the pad, whatever size the pad is shown at.
fn point(canvas: &HtmlCanvasElement, event: &PointerEvent) -> [f64; 2] {
    let shown = canvas.get_bounding_client_rect();
    let scale = pad::SIDE as f64 / shown.width().max(1.0);
    [
        (f64::from(event.client_x()) - shown.left()) * scale,
        (f64::from(event.client_y()) - shown.top()) * scale,
    ]
}

fn settings(emit: Emit) {
    let set = move |id: &str, event: &str, setting: fn() -> Option<Setting>| {
        on(emit, id, event, move || setting().map(Message::Setting));
    };
    set("sampler", "change", || {
        let sampler = dom::select("sampler").value().parse().ok();
        sampler.map(Setting::Sampler)
    });
    set("steps", "input", || {
        Some(Setting::Steps(dom::input("steps").value_as_number() as u32))
    });
    set("seed", "change", || {
        // NaN, where the field is empty, becomes 0.
        Some(Setting::Seed(dom::input("seed").value_as_number() as u64))
    });
    set("reroll", "click", || {
        Some(Setting::Seed((js_sys::Math::random() * 1e6) as u64))
    });
    set("temperature", "input", || {
        let temperature = dom::input("temperature").value_as_number();
        Some(Setting::Temperature(temperature as f32))
    });
    for id in ["compare", "compare-with"] {
        set(id, "change", || Some(Setting::Compare(comparison())));
    }
    on(emit, "cloud", "change", || {
        Message::Cloud(dom::input("cloud").checked())
    });
    on(emit, "field", "change", || {
        Message::Field(dom::input("field").checked())
    });
    on(emit, "theme", "click", || Message::Theme);
}

/// The comparison that the controls are set to.
fn comparison() -> Option<Compare> {
    if !dom::input("compare").checked() {
        return None;
    }
    match dom::select("compare-with").value().as_str() {
        OTHER_SEED => Some(Compare::Seed),
        sampler => sampler.parse::<Sampler>().ok().map(Compare::Sampler),
    }
}

fn timeline(emit: Emit) {
    on(emit, "play", "click", || Message::Play);
    on(emit, "back", "click", || Message::Nudge(-1));
    on(emit, "forward", "click", || Message::Nudge(1));
    on(emit, "scrub", "input", || {
        Message::Seek(dom::input("scrub").value_as_number())
    });
    on(emit, "speed", "change", || {
        Message::Speed(dom::select("speed").value().parse().unwrap_or(1.0))
    });
    on(emit, "loop", "change", || {
        Message::Loop(dom::input("loop").checked())
    });
}

fn buttons(emit: Emit) {
    on(emit, "backend", "click", || Message::SwitchBackend);
    on(emit, "retry", "click", || Message::Retry);
    on(emit, "evaluate", "click", || Message::Evaluate);
    on(emit, "cancel", "click", || Message::Cancel);
    on(emit, "share", "click", || Message::Share);
}

/// Connects the keys: space plays and pauses, arrows move by a step or, within the strip, to the next test image.
fn keys(emit: Emit) {
    dom::on(&dom::document(), "keydown", move |event: KeyboardEvent| {
        let within = |selector: &str| closest(event.target(), selector).is_some();
        let busy = within("dialog, input, select, a")
            || (event.key() == " " && within("button"))
            || event.ctrl_key()
            || event.meta_key()
            || event.alt_key();
        if busy {
            return;
        }
        emit(match (event.key().as_str(), within("#digits")) {
            ("ArrowLeft", true) => Message::Neighbour(-1),
            ("ArrowRight", true) => Message::Neighbour(1),
            ("ArrowLeft", false) => Message::Nudge(-1),
            ("ArrowRight", false) => Message::Nudge(1),
            (" ", _) => Message::Play,
            _ => return,
        });
        event.prevent_default();
    });
}

/// The element at or around an event's target that `selector` selects.
fn closest(target: Option<EventTarget>, selector: &str) -> Option<Element> {
    let target: Element = target?.dyn_into().ok()?;
    target.closest(selector).ok().flatten()
}

/// Uses a weights file that is dropped on the page, and classifies an image file.
fn dropped_files(emit: Emit) {
    dom::on(&dom::document(), "dragover", |event: DragEvent| {
        event.prevent_default();
    });
    dom::on(&dom::document(), "drop", move |event: DragEvent| {
        event.prevent_default();
        let files = event.data_transfer().and_then(|transfer| transfer.files());
        match files.and_then(|files| files.get(0)) {
            Some(file) => given(emit, file),
            None => emit(Message::Notice(
                "Drop a model.safetensors file from a run folder.".into(),
            )),
        }
    });
}

fn given(emit: Emit, file: File) {
    if file.type_().starts_with("image/") {
        emit(Message::PhotoFile(file));
    } else {
        spawn_local(async move { emit(files::weights(file).await) });
    }
}
