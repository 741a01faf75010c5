//! Colours. Classes have the hues of Okabe and Ito, which colour-blind people can tell apart, and two more. Colour is
//! never the only sign: each class is also named where it is shown.

use crate::page::dom;

const HUES: [&str; 10] = [
    "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#b8a400", "#8c8c8c",
    "#9467bd", "#c68642",
];

/// Colour of class `index`.
pub fn hue(index: usize) -> &'static str {
    HUES[index % HUES.len()]
}

/// The colour of text on [`hue`]: white on the dark blue, dark on all other hues.
pub fn ink_on(index: usize) -> &'static str {
    match HUES[index % HUES.len()] {
        "#0072b2" => "#ffffff",
        _ => "#0b0e14",
    }
}

/// The channels of `#rrggbb` or `#rgb`, 0 … 1; black for any other text.
pub fn channels(colour: &str) -> [f32; 3] {
    let digits = colour.trim_start_matches('#');
    let width = digits.len() / 3;
    let largest = if width == 1 { 15.0 } else { 255.0 };
    std::array::from_fn(|k| {
        let channel = digits.get(k * width..(k + 1) * width);
        let value = channel.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        f32::from(value.unwrap_or(0)) / largest
    })
}

/// Colours of the theme in use.
pub struct Theme {
    /// Text.
    pub ink: String,
    /// Text that matters less.
    pub quiet: String,
    /// Lines and rings.
    pub line: String,
    /// The stage's background.
    pub paper: String,
}

impl Theme {
    /// Reads the style sheet.
    pub fn read() -> Self {
        Self {
            ink: dom::css_variable("--ink"),
            quiet: dom::css_variable("--quiet"),
            line: dom::css_variable("--line"),
            paper: dom::css_variable("--stage"),
        }
    }
}

/// Whether the light theme is shown. A script in `index.html` chooses the theme when the page opens.
pub fn is_light() -> bool {
    let root = dom::document().document_element();
    root.is_some_and(|root| root.get_attribute("data-theme").as_deref() == Some("light"))
}

/// Switches to the other theme, and remembers the choice.
pub fn toggle() {
    let next = if is_light() { "dark" } else { "light" };
    apply(next);
    if let Ok(Some(storage)) = dom::window().local_storage() {
        let _ = storage.set_item("theme", next);
    }
}

/// Takes the theme of the system, unless the user has chosen one.
pub fn follow_system() {
    let storage = dom::window().local_storage().ok().flatten();
    let chosen = storage.and_then(|storage| storage.get_item("theme").ok().flatten());
    if chosen.is_none() {
        let light = dom::matches_media("(prefers-color-scheme: light)");
        apply(if light { "light" } else { "dark" });
    }
}

fn apply(theme: &str) {
    if let Some(root) = dom::document().document_element() {
        dom::set(&root, "data-theme", theme);
    }
    label();
}

/// Names the other theme on the button that switches to it.
pub fn label() {
    dom::set_text("theme", if is_light() { "Dark" } else { "Light" });
}
