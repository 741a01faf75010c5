//! The panel beside the stage and the one below it: the present step of the walk in words, bars and numbers.

use std::f64::consts::{FRAC_PI_2, TAU};
use std::fmt::Write;

use noprop_core::predicted_class;
use noprop_protocol::{Ready, Walked};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::theme::{self, Theme};
use crate::logic::samplers::step_formula;
use crate::logic::settings::{Compare, Settings};
use crate::logic::state::State;
use crate::logic::test_images::{is_word, with_article};
use crate::page::dom;

/// Height of class names that are words, above the columns of the strip of all steps.
const UPRIGHT: f64 = 74.0;

/// Shows the picture that the network sees, `[c, h, w]` of `shape`.
pub fn picture(pixels: &[u8], shape: [usize; 3]) {
    dom::paint(&dom::get("picture"), pixels, shape, theme::is_light());
}

/// Shows the present step of the walk: verdict, bars, all steps, numbers. The compared walk is shown at the step at
/// which it has done the same share of its steps. If there is no walk, nothing changes.
pub fn step(state: &State) {
    let (Some(walked), Some(model)) = (&state.walked, &state.model) else {
        return;
    };
    let m = model.classes.len();
    let k = state.clock.step().min(walked.steps());
    let row = &walked.probabilities[k * m..(k + 1) * m];
    let best = predicted_class(row);
    caption(walked, model, k);
    verdict(state, k, row);
    let compared = state.compared.as_ref().map(|compared| {
        let k = k * compared.steps() / walked.steps().max(1);
        &compared.probabilities[k * m..(k + 1) * m]
    });
    comparison(compared, best, model, &state.settings);
    bars(row, compared, &model.classes, best);
    all_steps(walked, &model.classes, k);
    numbers(walked, model, k, &state.settings);
    noise_schedule(walked, model, k);
}

/// Shows the sentence below the stage.
fn caption(walked: &Walked, model: &Ready, k: usize) {
    let m = model.classes.len();
    let class = |row: &[f32]| &model.classes[predicted_class(&row[k * m..(k + 1) * m])];
    let text = match k {
        0 => format!(
            "Step 0: z says nothing about the label yet. From the picture the denoiser believes “{}”.",
            class(&walked.beliefs)
        ),
        k if k == walked.steps() => format!(
            "Step {k}: the walk is over, and z stands at “{}”.",
            class(&walked.probabilities)
        ),
        k => {
            let level = walked
                .noise_at(k)
                .map_or_else(String::new, |(alpha_bar, _)| {
                    format!("noise level {:.0} %; ", 100.0 * (1.0 - alpha_bar))
                });
            format!(
                "Step {k} of {}: {level}the denoiser believes “{}”.",
                walked.steps(),
                class(&walked.beliefs)
            )
        }
    };
    dom::set_text("caption", &text);
}

/// Shows the predicted class, and whether it is right.
fn verdict(state: &State, k: usize, row: &[f32]) {
    let best = predicted_class(row);
    let class = &state.classes()[best];
    let label = dom::element("label");
    dom::set_text("label", class);
    label.set_class_name(if is_word(class) { "word" } else { "" });
    let _ = label.style().set_property("--hue", theme::hue(best));

    let percent = 100.0 * row[best];
    let at_end = k == state.walked.as_ref().map_or(0, Walked::steps);
    // The verdict is spoken aloud, so it waits until the clock stands.
    let text = match state.truth() {
        _ if state.clock.playing => "denoising …".to_owned(),
        Some((truth, _)) if at_end && truth == best => format!("{percent:.1} % sure, and right"),
        Some((_, name)) if at_end => {
            format!("{percent:.1} % sure, but it is {}", with_article(name))
        }
        _ => format!("{percent:.1} % at step {k}"),
    };
    dom::set_text("verdict", &text);
}

/// Shows the sentence about the compared walk, whose probabilities are `compared`.
fn comparison(compared: Option<&[f32]>, best: usize, model: &Ready, settings: &Settings) {
    let text = match (compared, settings.compare) {
        (Some(compared), Some(compare)) => {
            let other = predicted_class(compared);
            let same = if other == best { "also" } else { "but" };
            let who = match compare {
                Compare::Seed => "The other seed".to_owned(),
                Compare::Sampler(sampler) => format!("{sampler}"),
            };
            format!(
                "{who}: {same} “{}”, {:.1} % (marks on the bars)",
                model.classes[other],
                100.0 * compared[other]
            )
        }
        _ => String::new(),
    };
    dom::element("compared").set_hidden(text.is_empty());
    dom::set_text("compared", &text);
}

/// Shows probabilities as bars, with those of the compared walk as marks.
fn bars(row: &[f32], compared: Option<&[f32]>, classes: &[String], best: usize) {
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
                    let place = compared.map_or("display:none".to_owned(), |compared| {
                        format!("left:{:.2}%", 100.0 * compared[k])
                    });
                    dom::set(&mark, "style", &place);
                }
            }
            let mark = if k == best { "◀ " } else { "" };
            value.set_text_content(Some(&format!("{mark}{:.1} %", 100.0 * p)));
        }
    }
}

/// Shows the probabilities after each step (rows) of each class (columns).
fn all_steps(walked: &Walked, classes: &[String], step: usize) {
    let (context, width, height) = blank("strip");
    let m = classes.len();
    let rows = walked.times.len();
    let left = 4.0;
    let w = (width - 2.0 * left) / m as f64;
    let theme = Theme::read();
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
    for (row, probabilities) in walked.probabilities.chunks(m).enumerate() {
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

/// Shows step `k` in numbers.
fn numbers(walked: &Walked, model: &Ready, k: usize, settings: &Settings) {
    let (m, d) = (model.classes.len(), model.latent_dim as usize);
    let z = &walked.latents[k * d..(k + 1) * d];
    let belief = &walked.beliefs[k * m..(k + 1) * m];
    let u_hat: Vec<f32> = (0..d)
        .map(|j| {
            (0..m)
                .map(|c| belief[c] * model.embeddings[c * d + j])
                .sum()
        })
        .collect();
    let list = |values: &[f32]| {
        let shown: Vec<String> = values.iter().take(10).map(|v| format!("{v:+.2}")).collect();
        let more = if values.len() > 10 { " …" } else { "" };
        format!("{}{more}", shown.join(" "))
    };
    let noise = walked.noise_at(k);
    let or_none = |number: Option<String>| number.unwrap_or_else(|| "–".to_owned());
    let rows = [
        ("t", format!("{:.3}", walked.times[k])),
        (
            "ᾱ (signal)",
            or_none(noise.map(|(alpha_bar, _)| format!("{alpha_bar:.4}"))),
        ),
        (
            "λ = log SNR",
            or_none(noise.map(|(_, log_snr)| format!("{log_snr:+.3}"))),
        ),
        ("z", list(z)),
        ("û", list(&u_hat)),
        (
            "next step",
            step_formula(settings.walk.sampler, walked, k, model.is_flow),
        ),
    ];
    let cells = dom::element("inspector");
    if cells.child_element_count() as usize != 2 * rows.len() {
        cells.set_inner_html("");
        for (name, _) in &rows {
            let term = dom::create("span", "term");
            term.set_text_content(Some(name));
            let _ = cells.append_child(&term);
            let _ = cells.append_child(&dom::create("span", "number"));
        }
    }
    for (i, (_, text)) in rows.iter().enumerate() {
        if let Some(cell) = cells.children().item(2 * i as u32 + 1) {
            cell.set_text_content(Some(text));
        }
    }
}

/// Draws λ = log SNR over t, from noise to label, with a dot at t_k.
fn noise_schedule(walked: &Walked, model: &Ready, k: usize) {
    let (context, width, height) = blank("curve");
    let (Some(&first), Some(&last)) = (model.log_snr.first(), model.log_snr.last()) else {
        return;
    };
    let margin = 8.0;
    let place = |t: f32, log_snr: f32| {
        let up = (log_snr - first) / (last - first).max(1e-6);
        (
            margin + f64::from(t) * (width - 2.0 * margin),
            height - margin - f64::from(up) * (height - 2.0 * margin),
        )
    };
    let theme = Theme::read();
    context.set_stroke_style_str(&theme.quiet);
    context.set_line_width(1.5);
    context.begin_path();
    let last_index = (model.log_snr.len() - 1) as f32;
    for (i, &log_snr) in model.log_snr.iter().enumerate() {
        let (x, y) = place(i as f32 / last_index, log_snr);
        context.line_to(x, y);
    }
    context.stroke();
    context.set_fill_style_str(&theme.quiet);
    context.set_font("12px system-ui, sans-serif");
    for (t, log_snr, align, above) in [(0.0, first, "left", -8.0), (1.0, last, "right", 16.0)] {
        let (x, y) = place(t, log_snr);
        context.set_text_align(align);
        let _ = context.fill_text(&format!("{log_snr:+.1}"), x, y + above);
    }
    let (x, y) = place(walked.times[k], walked.log_snr[k]);
    context.set_fill_style_str(&theme.ink);
    context.begin_path();
    let _ = context.arc(x, y, 5.0, 0.0, TAU);
    context.fill();
}

/// Shows the number of walks of the cloud that end at each class.
pub fn tally(walked: &Walked, classes: &[String]) {
    let total = walked.predictions.len();
    let mut counts = vec![0_usize; classes.len()];
    for &class in &walked.predictions {
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

/// Clears the canvas `id`. Returns its context, whose unit is a CSS pixel, and its width and height.
fn blank(id: &str) -> (CanvasRenderingContext2d, f64, f64) {
    let canvas: HtmlCanvasElement = dom::get(id);
    let (width, height, ratio) = dom::fit(&canvas);
    let context = dom::context(&canvas);
    let _ = context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0);
    context.clear_rect(0.0, 0.0, width, height);
    (context, width, height)
}

/// Shows that there is no walk, with the reason `verdict`.
pub fn nothing(verdict: &str) {
    dom::set_text("label", "·");
    dom::element("label").set_class_name("");
    dom::set_text("verdict", verdict);
    dom::set_text("caption", "");
    dom::element("compared").set_hidden(true);
    forget();
    blank("strip");
}

/// Removes everything that names classes or steps, since the next model may have others.
pub fn forget() {
    for id in ["bars", "tally", "inspector"] {
        dom::element(id).set_inner_html("");
    }
}
