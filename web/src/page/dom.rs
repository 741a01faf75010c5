//! The document through typed functions.

use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{
    CanvasRenderingContext2d, Document, Element, Event, EventTarget, HtmlCanvasElement,
    HtmlElement, HtmlInputElement, HtmlSelectElement, ImageData, Window,
};

/// The window.
pub fn window() -> Window {
    web_sys::window().expect("the page runs in a window")
}

/// The part of the address from `#` on; empty if there is none.
pub fn hash() -> String {
    window().location().hash().unwrap_or_default()
}

/// The document.
pub fn document() -> Document {
    window().document().expect("a window has a document")
}

/// The element of this id in `index.html`.
pub fn get<T: JsCast>(id: &str) -> T {
    let element = document()
        .get_element_by_id(id)
        .unwrap_or_else(|| panic!("index.html lacks #{id}"));
    element
        .dyn_into()
        .unwrap_or_else(|_| panic!("#{id} is another kind of element"))
}

/// The element of this id, of any kind.
pub fn element(id: &str) -> HtmlElement {
    get(id)
}

/// The input of this id.
pub fn input(id: &str) -> HtmlInputElement {
    get(id)
}

/// The select of this id.
pub fn select(id: &str) -> HtmlSelectElement {
    get(id)
}

/// A new element with a class.
pub fn create(tag: &str, class: &str) -> HtmlElement {
    let new: HtmlElement = document()
        .create_element(tag)
        .expect("a valid tag")
        .unchecked_into();
    new.set_class_name(class);
    new
}

/// Writes a line to the browser's console.
pub fn warn(text: &str) {
    web_sys::console::warn_1(&text.into());
}

/// Replaces the text of an element where it differs: screen readers speak each change.
pub fn set_text(id: &str, text: &str) {
    let element = element(id);
    if element.text_content().as_deref() != Some(text) {
        element.set_text_content(Some(text));
    }
}

/// Sets an attribute.
pub fn set(element: &Element, name: &str, value: &str) {
    let _ = element.set_attribute(name, value);
}

/// Calls `act` on each event of this name, for as long as the page lives.
pub fn on<E: JsCast + 'static>(
    target: &EventTarget,
    event: &str,
    mut act: impl FnMut(E) + 'static,
) {
    let closure = Closure::<dyn FnMut(Event)>::new(move |event: Event| act(event.unchecked_into()));
    let _ = target.add_event_listener_with_callback(event, closure.as_ref().unchecked_ref());
    closure.forget();
}

/// Calls `act` with the time in milliseconds before the next frame.
pub fn next_frame(act: impl FnOnce(f64) + 'static) {
    let closure = Closure::once_into_js(act);
    let _ = window().request_animation_frame(closure.unchecked_ref());
}

/// The drawing context of a canvas.
pub fn context(canvas: &HtmlCanvasElement) -> CanvasRenderingContext2d {
    canvas
        .get_context("2d")
        .ok()
        .flatten()
        .expect("canvases can be drawn on")
        .unchecked_into()
}

/// Gives a canvas as many pixels as the screen shows of it; returns its size in CSS pixels and
/// the pixels per CSS pixel.
pub fn fit(canvas: &HtmlCanvasElement) -> (f64, f64, f64) {
    let ratio = window().device_pixel_ratio().clamp(1.0, 3.0);
    let (width, height) = (
        f64::from(canvas.client_width()),
        f64::from(canvas.client_height()),
    );
    let (w, h) = ((width * ratio) as u32, (height * ratio) as u32);
    if canvas.width() != w || canvas.height() != h {
        canvas.set_width(w);
        canvas.set_height(h);
    }
    (width, height, ratio)
}

/// Paints an image of shape `[c, h, w]`. A grey image is painted white on black, or black on white if `light`; an RGB
/// image is painted as it is.
pub fn paint(
    canvas: &HtmlCanvasElement,
    pixels: &[u8],
    [channels, height, width]: [usize; 3],
    light: bool,
) {
    let size = height * width;
    let value = |i: usize, channel: usize| match (channels, light) {
        (1, true) => 255 - pixels[i],
        (1, false) => pixels[i],
        _ => pixels[channel * size + i],
    };
    let rgba: Vec<u8> = (0..size)
        .flat_map(|i| [value(i, 0), value(i, 1), value(i, 2), 255])
        .collect();
    if (canvas.width(), canvas.height()) != (width as u32, height as u32) {
        canvas.set_width(width as u32);
        canvas.set_height(height as u32);
    }
    if let Ok(data) = ImageData::new_with_u8_clamped_array(Clamped(&rgba), width as u32) {
        let _ = context(canvas).put_image_data(&data, 0.0, 0.0);
    }
}

/// Whether the user prefers that nothing moves.
pub fn reduced_motion() -> bool {
    matches_media("(prefers-reduced-motion: reduce)")
}

/// Whether a media query holds.
pub fn matches_media(query: &str) -> bool {
    window()
        .match_media(query)
        .ok()
        .flatten()
        .is_some_and(|list| list.matches())
}

/// Calls `act` when the system changes between light and dark, for as long as the page lives.
pub fn on_light_scheme(act: impl Fn() + 'static) {
    if let Ok(Some(list)) = window().match_media("(prefers-color-scheme: light)") {
        on(&list, "change", move |_: Event| act());
    }
}

/// Milliseconds since the page began.
pub fn now() -> f64 {
    window().performance().map_or(0.0, |clock| clock.now())
}

/// A CSS variable of the document.
pub fn css_variable(name: &str) -> String {
    let root = document().document_element();
    root.and_then(|root| window().get_computed_style(&root).ok().flatten())
        .and_then(|style| style.get_property_value(name).ok())
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// A string for JavaScript.
pub fn js(text: &str) -> JsValue {
    JsValue::from_str(text)
}
