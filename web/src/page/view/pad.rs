//! The drawing pad: the strokes of a pen, and the image that the network is given of them.

use web_sys::{HtmlCanvasElement, HtmlDialogElement};

use super::theme;
use crate::logic::pixels::{SIDE as SEEN, centre, quantise};
use crate::page::dom;

/// Edge of the pad in pixels.
pub const SIDE: usize = 280;
/// The width of the pen in pixels. In the fitted image a stroke is about as wide as those of MNIST.
const PEN: f64 = 22.0;

/// The pad's dialog and the strokes on it.
pub struct Pad {
    canvas: HtmlCanvasElement,
    /// Each stroke is a list of points in the pad's pixels.
    strokes: Vec<Vec<[f64; 2]>>,
    pen_is_down: bool,
}

impl Pad {
    /// The pad of `index.html`, empty.
    pub fn new() -> Self {
        Self {
            canvas: dom::get("pad"),
            strokes: Vec::new(),
            pen_is_down: false,
        }
    }

    /// Opens the dialog.
    pub fn open(&self) {
        self.show();
        let _ = dom::get::<HtmlDialogElement>("draw").show_modal();
    }

    /// Begins a stroke.
    pub fn pen_down(&mut self, point: [f64; 2]) {
        self.pen_is_down = true;
        self.strokes.push(vec![point]);
        self.show();
    }

    /// Continues the stroke if the pen is down.
    pub fn pen_move(&mut self, point: [f64; 2]) {
        if self.pen_is_down
            && let Some(stroke) = self.strokes.last_mut()
        {
            stroke.push(point);
            self.show();
        }
    }

    /// Ends the stroke. Returns whether there was one.
    pub fn pen_up(&mut self) -> bool {
        std::mem::take(&mut self.pen_is_down)
    }

    /// Removes the last stroke.
    pub fn undo(&mut self) {
        self.strokes.pop();
        self.show();
    }

    /// Removes all strokes.
    pub fn clear(&mut self) {
        self.strokes.clear();
        self.show();
    }

    /// The drawing as an image of MNIST, `[28, 28]` in 16 grey levels; `None` if nothing is drawn. The dialog shows the
    /// image beside the drawing.
    pub fn image(&self) -> Option<Vec<u8>> {
        let side = SIDE as f64;
        let data = dom::context(&self.canvas).get_image_data(0.0, 0.0, side, side);
        let ink: Vec<u8> = data.ok()?.data().chunks(4).map(|rgba| rgba[0]).collect();
        let image = centre(&ink, SIDE).map(|pixels| quantise(&pixels));
        let shown = image.as_deref().unwrap_or(&[0; SEEN * SEEN]);
        dom::paint(
            &dom::get("preview"),
            shown,
            [1, SEEN, SEEN],
            theme::is_light(),
        );
        image
    }

    fn show(&self) {
        let context = dom::context(&self.canvas);
        context.set_fill_style_str("#000");
        context.fill_rect(0.0, 0.0, SIDE as f64, SIDE as f64);
        context.set_stroke_style_str("#fff");
        context.set_line_width(PEN);
        context.set_line_cap("round");
        context.set_line_join("round");
        for stroke in &self.strokes {
            let Some(&[x, y]) = stroke.first() else {
                continue;
            };
            context.begin_path();
            context.move_to(x, y);
            // A touch without movement is a dot.
            context.line_to(x + 0.1, y);
            for pair in stroke.windows(2) {
                let ([x_0, y_0], [x_1, y_1]) = (pair[0], pair[1]);
                // The curve goes through the midpoints of the segments, with the points as control points, so it has no
                // corners.
                context.quadratic_curve_to(x_0, y_0, (x_0 + x_1) / 2.0, (y_0 + y_1) / 2.0);
            }
            if let Some(&[x, y]) = stroke.last() {
                context.line_to(x, y);
            }
            context.stroke();
        }
    }
}
