//! The present step: picture, verdict, bars, and the strip of all steps.

use std::f64::consts::FRAC_PI_2;
use std::fmt::Write;

use noprop_core::predicted_class;
use web_sys::HtmlCanvasElement;

use super::super::{dom, theme};
use super::inspector;
use crate::logic::clock::Clock;
use crate::logic::names::{is_word, with_article};
use crate::logic::settings::{Compare, Settings};
use crate::protocol::{Ready, Trace};

/// Height of names that are words, above the columns of the strip.
const UPRIGHT: f64 = 74.0;

/// Shows the picture that the network sees, `[c, h, w]` of `shape`.
pub fn picture(pixels: &[u8], shape: [usize; 3]) {
    dom::paint(&dom::get("picture"), pixels, shape, theme::is_light());
}

/// Where the cloud's seeds end.
pub fn tally(trace: &Trace, classes: &[String]) {
    let total = trace.predictions.len();
    let mut counts = vec![0_usize; classes.len()];
    for &class in &trace.predictions {
        if let Some(count) = counts.get_mut(class as usize) {
            *count += 1;
        }
    }
    dom::set_text("cloud-title", &format!("{total} noise seeds end at"));
    let parent = dom::element("tally");
    parent.set_inner_html("");
    let mut spoken = String::new();
    for (k, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let part = dom::create("span", "share");
        let style = part.style();
        let _ = style.set_property("flex-grow", &count.to_string());
        let _ = style.set_property("background", theme::hue(k));
        let _ = style.set_property("color", theme::ink_on(k));
        part.set_text_content(Some(&format!("{}: {count}", classes[k])));
        let _ = parent.append_child(&part);
        let _ = write!(spoken, "{count} of {total} end at {}. ", classes[k]);
    }
    dom::set(&parent, "aria-label", &spoken);
}

/// Everything about the present step: verdict, bars, numbers; beside it the walk `second` at the
/// same part of its way.
pub fn step(
    trace: &Trace,
    second: Option<&Trace>,
    model: &Ready,
    clock: &Clock,
    truth: Option<(usize, &str)>,
    settings: &Settings,
) {
    let m = model.classes.len();
    let steps = trace.times.len() - 1;
    let k = clock.step().min(steps);
    let row = &trace.probabilities[k * m..(k + 1) * m];
    let best = predicted_class(row);
    let label = dom::element("label");
    dom::set_text("label", &model.classes[best]);
    label.set_class_name(if is_word(&model.classes[best]) {
        "word"
    } else {
        ""
    });
    let _ = label.style().set_property("--hue", theme::hue(best));

    let percent = 100.0 * row[best];
    let caption = match k {
        0 => "Step 0: pure noise. Nothing is known yet.".to_owned(),
        k if k == steps => format!(
            "Step {k}: the noise is gone, and z stands at “{}”.",
            model.classes[best]
        ),
        k => format!(
            "Step {k} of {steps}: {:.0} % of z's variance is signal; the denoiser believes “{}”.",
            100.0 * trace.alpha_bar[k],
            model.classes[predicted_class(&trace.beliefs[k * m..(k + 1) * m])]
        ),
    };
    dom::set_text("caption", &caption);
    // Spoken aloud, so only what is settled: the end of the walk.
    if !clock.playing {
        let verdict = match truth {
            Some((truth, _)) if k == steps && truth == best => {
                format!("{percent:.1} % sure, and right")
            }
            Some((_, name)) if k == steps => {
                format!("{percent:.1} % sure, but it is {}", with_article(name))
            }
            _ => format!("{percent:.1} % at step {k}"),
        };
        dom::set_text("verdict", &verdict);
    } else {
        dom::set_text("verdict", "denoising …");
    }
    let second = second.map(|second| same_part(second, k, steps, m));
    compared(second, row, model, settings);
    bars(row, second, &model.classes, best);
    strip(trace, &model.classes, k);
    inspector::show(trace, model, k, settings);
}

/// The compared walk's probabilities when it has gone the part k / steps of its way.
fn same_part(second: &Trace, k: usize, steps: usize, m: usize) -> &[f32] {
    let k = k * (second.times.len() - 1) / steps.max(1);
    &second.probabilities[k * m..(k + 1) * m]
}

/// Where the compared walk stands.
fn compared(second: Option<&[f32]>, row: &[f32], model: &Ready, settings: &Settings) {
    let text = match (second, settings.compare) {
        (Some(second), Some(compare)) => {
            let best = predicted_class(second);
            let same = if best == predicted_class(row) {
                "also"
            } else {
                "but"
            };
            let who = match compare {
                Compare::Seed => "The other seed".to_owned(),
                Compare::Sampler(sampler) => format!("{sampler}"),
            };
            format!(
                "{who}: {same} “{}”, {:.1} % (marks on the bars)",
                model.classes[best],
                100.0 * second[best]
            )
        }
        _ => String::new(),
    };
    dom::element("compared").set_hidden(text.is_empty());
    dom::set_text("compared", &text);
}

fn bars(row: &[f32], second: Option<&[f32]>, classes: &[String], best: usize) {
    let list = dom::element("bars");
    if list.child_element_count() as usize != classes.len() {
        list.set_inner_html("");
        let words = classes.iter().any(|class| is_word(class));
        dom::element("says").set_class_name(if words { "words" } else { "" });
        for (k, class) in classes.iter().enumerate() {
            let item = dom::create("li", "");
            item.set_inner_html("<span class=name></span><span class=track><span class=fill></span><span class=second></span></span><span class=value></span>");
            let _ = item.style().set_property("--hue", theme::hue(k));
            if let Some(name) = item.first_element_child() {
                name.set_text_content(Some(class));
            }
            let _ = list.append_child(&item);
        }
    }
    let items = list.children();
    for (k, &p) in row.iter().enumerate() {
        let Some(item) = items.item(k as u32) else {
            continue;
        };
        item.set_class_name(if k == best { "best" } else { "" });
        let children = item.children();
        if let (Some(track), Some(value)) = (children.item(1), children.item(2)) {
            if let Some(fill) = track.first_element_child() {
                dom::set(&fill, "style", &format!("transform:scaleX({p:.4})"));
                if let Some(mark) = fill.next_element_sibling() {
                    let place = second.map_or("display:none".to_owned(), |second| {
                        format!("left:{:.2}%", 100.0 * second[k])
                    });
                    dom::set(&mark, "style", &place);
                }
            }
            let mark = if k == best { "◀ " } else { "" };
            value.set_text_content(Some(&format!("{mark}{:.1} %", 100.0 * p)));
        }
    }
}

/// Probabilities after each step (rows) of each class (columns).
fn strip(trace: &Trace, classes: &[String], step: usize) {
    let canvas: HtmlCanvasElement = dom::get("strip");
    let (width, height, ratio) = dom::fit(&canvas);
    let context = dom::context(&canvas);
    let _ = context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0);
    context.clear_rect(0.0, 0.0, width, height);
    let m = classes.len();
    let rows = trace.times.len();
    let left = 4.0;
    let w = (width - 2.0 * left) / m as f64;
    let theme = theme::Theme::read();
    context.set_font("12px system-ui, sans-serif");
    context.set_fill_style_str(&theme.quiet);
    let upright = classes.iter().any(|class| is_word(class));
    let head = if upright { UPRIGHT } else { 18.0 };
    for (k, class) in classes.iter().enumerate() {
        let x = left + (k as f64 + 0.5) * w;
        if upright {
            context.save();
            let _ = context.translate(x + 4.0, head - 5.0);
            let _ = context.rotate(-FRAC_PI_2);
            context.set_text_align("left");
            let _ = context.fill_text_with_max_width(class, 0.0, 0.0, head - 7.0);
            context.restore();
        } else {
            context.set_text_align("center");
            let _ = context.fill_text(class, x, 12.0);
        }
    }
    let h = (height - head - 2.0) / rows as f64;
    for (row, probabilities) in trace.probabilities.chunks(m).enumerate() {
        for (k, &p) in probabilities.iter().enumerate() {
            context.set_fill_style_str(theme::hue(k));
            context.set_global_alpha(0.06 + 0.94 * f64::from(p));
            let gap = if h > 4.0 { 1.0 } else { 0.0 };
            let (x, y) = (left + k as f64 * w, head + row as f64 * h);
            context.fill_rect(x + 0.5, y, w - 1.0, (h - gap).max(0.5));
        }
    }
    context.set_global_alpha(1.0);
    context.set_stroke_style_str(&theme.ink);
    context.set_line_width(1.5);
    context.stroke_rect(
        left - 2.0,
        head + step as f64 * h - 0.5,
        width - 2.0 * left + 4.0,
        h.max(2.0),
    );
}

/// No walk to speak of: an empty drawing, or no model yet.
pub fn nothing(verdict: &str) {
    dom::set_text("label", "·");
    dom::element("label").set_class_name("");
    dom::set_text("verdict", verdict);
    dom::set_text("caption", "");
    dom::element("compared").set_hidden(true);
    forget();
    let strip: HtmlCanvasElement = dom::get("strip");
    let (width, height, _) = dom::fit(&strip);
    dom::context(&strip).clear_rect(0.0, 0.0, width * 3.0, height * 3.0);
}

/// Takes away what names classes or steps: what comes next may be of another model.
pub fn forget() {
    for id in ["bars", "tally", "inspector"] {
        dom::element(id).set_inner_html("");
    }
}
