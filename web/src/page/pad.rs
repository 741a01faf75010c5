//! The drawing pad.

use std::cell::RefCell;
use std::rc::Rc;

use web_sys::{Event, HtmlCanvasElement, HtmlDialogElement, PointerEvent};

use super::{dom, theme, with_app};
use crate::logic::centring::{SIDE as SEEN, centre};
use crate::logic::packing::quantise;

/// Edge of the pad in pixels.
const SIDE: usize = 280;
/// Width of the pen: after fitting, about as wide as MNIST's.
const PEN: f64 = 22.0;

/// Strokes, each a list of points.
type Strokes = Rc<RefCell<Vec<Vec<(f64, f64)>>>>;

/// Wires the pad.
pub fn connect() {
    let strokes: Strokes = Rc::default();
    let pad: HtmlCanvasElement = dom::get("pad");
    let pen_down = Rc::new(RefCell::new(false));

    let (list, down, canvas) = (Rc::clone(&strokes), Rc::clone(&pen_down), pad.clone());
    dom::on(&pad, "pointerdown", move |event: PointerEvent| {
        event.prevent_default();
        if !draws(&event) || event.button() != 0 {
            return;
        }
        // The stroke goes on when the pen leaves the pad.
        let _ = canvas.set_pointer_capture(event.pointer_id());
        *down.borrow_mut() = true;
        list.borrow_mut().push(vec![point(&canvas, &event)]);
        redraw(&canvas, &list.borrow());
    });
    let (list, down, canvas) = (Rc::clone(&strokes), Rc::clone(&pen_down), pad.clone());
    dom::on(&pad, "pointermove", move |event: PointerEvent| {
        if *down.borrow() && draws(&event) {
            event.prevent_default();
            if let Some(stroke) = list.borrow_mut().last_mut() {
                stroke.push(point(&canvas, &event));
            }
            redraw(&canvas, &list.borrow());
        }
    });
    for end in ["pointerup", "pointercancel"] {
        let (down, canvas) = (Rc::clone(&pen_down), pad.clone());
        dom::on(&pad, end, move |event: PointerEvent| {
            if draws(&event) && std::mem::take(&mut *down.borrow_mut()) {
                finished(&canvas);
            }
        });
    }
    for (button, all) in [("undo", false), ("clear", true)] {
        let (list, canvas) = (Rc::clone(&strokes), pad.clone());
        dom::on(&dom::element(button), "click", move |_: Event| {
            if all {
                list.borrow_mut().clear();
            } else {
                list.borrow_mut().pop();
            }
            redraw(&canvas, &list.borrow());
            finished(&canvas);
        });
    }
    let (list, canvas) = (strokes, pad);
    dom::on(&dom::element("draw-open"), "click", move |_: Event| {
        redraw(&canvas, &list.borrow());
        let _ = dialog().show_modal();
    });
    dom::on(&dom::element("draw-done"), "click", |_: Event| {
        dialog().close()
    });
}

/// Shows what the network sees of the drawing.
pub fn preview(pixels: Option<&[u8]>) {
    let blank = [0; SEEN * SEEN];
    let canvas = dom::get("preview");
    let pixels = pixels.unwrap_or(&blank);
    dom::paint(&canvas, pixels, [1, SEEN, SEEN], theme::is_light());
}

fn dialog() -> HtmlDialogElement {
    dom::get("draw")
}

/// Whether the event is of the one pointer that draws: a second finger or a palm does not.
fn draws(event: &PointerEvent) -> bool {
    event.is_primary()
}

/// The event's place on the pad, however large the pad is shown.
fn point(canvas: &HtmlCanvasElement, event: &PointerEvent) -> (f64, f64) {
    let shown = canvas.get_bounding_client_rect();
    let scale = SIDE as f64 / shown.width().max(1.0);
    (
        (f64::from(event.client_x()) - shown.left()) * scale,
        (f64::from(event.client_y()) - shown.top()) * scale,
    )
}

fn redraw(canvas: &HtmlCanvasElement, strokes: &[Vec<(f64, f64)>]) {
    let context = dom::context(canvas);
    context.set_fill_style_str("#000");
    context.fill_rect(0.0, 0.0, SIDE as f64, SIDE as f64);
    context.set_stroke_style_str("#fff");
    context.set_line_width(PEN);
    context.set_line_cap("round");
    context.set_line_join("round");
    for stroke in strokes {
        let Some(&(x, y)) = stroke.first() else {
            continue;
        };
        context.begin_path();
        context.move_to(x, y);
        // A touch without movement is a dot.
        context.line_to(x + 0.1, y);
        for pair in stroke.windows(2) {
            let ((x_0, y_0), (x_1, y_1)) = (pair[0], pair[1]);
            // Through the middles, with the points as handles: no corners between events.
            context.quadratic_curve_to(x_0, y_0, (x_0 + x_1) / 2.0, (y_0 + y_1) / 2.0);
        }
        if let Some(&(x, y)) = stroke.last() {
            context.line_to(x, y);
        }
        context.stroke();
    }
}

/// Reads the pad and hands its picture on.
fn finished(canvas: &HtmlCanvasElement) {
    let side = SIDE as f64;
    let Ok(data) = dom::context(canvas).get_image_data(0.0, 0.0, side, side) else {
        return;
    };
    let ink: Vec<u8> = data.data().chunks(4).map(|rgba| rgba[0]).collect();
    let image = centre(&ink, SIDE).map(|pixels| quantise(&pixels));
    with_app(|app| app.drawn(image));
}
