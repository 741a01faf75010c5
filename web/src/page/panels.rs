//! What is said beside the stage: verdict, bars, strip, tally, numbers, accuracy, backend.

use std::fmt::Write;

use noprop_core::SamplerKind;
use noprop_core::sampler::LONGEST_STEP;
use web_sys::HtmlCanvasElement;

use super::dom;
use super::theme;
use crate::logic::clock::Clock;
use crate::logic::settings::Settings;
use crate::protocol::{AccuracyProgress, Backend, Ready, Trace};

/// Index of the largest value.
pub fn largest(row: &[f32]) -> usize {
    (0..row.len())
        .max_by(|&a, &b| row[a].total_cmp(&row[b]))
        .unwrap_or(0)
}

fn name(backend: Backend) -> &'static str {
    match backend {
        Backend::Cpu => "CPU",
        Backend::WebGpu => "WebGPU",
    }
}

/// Says that a backend is being prepared.
pub fn chip_busy(backend: Backend) {
    let chip = dom::element("backend");
    dom::set(&chip, "disabled", "");
    chip.set_class_name("chip busy");
    dom::set_text("backend", &format!("{}: starting", name(backend)));
}

/// Says what computes, why, and how the self-test went.
pub fn chip(ready: &Ready) {
    let chip = dom::element("backend");
    let _ = chip.remove_attribute("disabled");
    chip.set_class_name("chip good");
    let test = match ready.self_test {
        Some(test) => format!(
            " Self-test against the CPU: {} of {} predictions agree, probabilities differ by at most {:.0e}.",
            test.agreeing, test.images, test.max_difference
        ),
        None => String::new(),
    };
    let checked = if ready.self_test.is_some() {
        " ✓"
    } else {
        ""
    };
    dom::set_text("backend", &format!("{}{checked}", name(ready.backend)));
    let title = format!(
        "Computes on {}: {}.{test} Click to switch.",
        name(ready.backend),
        ready.reason
    );
    dom::set(&chip, "title", &title);
    dom::set(&chip, "aria-label", &title);
}

/// Shows a sentence above everything, or nothing.
pub fn banner(message: &str) {
    let banner = dom::element("banner");
    banner.set_hidden(message.is_empty());
    banner.set_text_content(Some(message));
}

/// Weights that have arrived.
pub fn progress(received: u64, total: Option<u64>) {
    let bar = dom::element("progress");
    let mb = |bytes: u64| bytes as f64 / 1e6;
    match total {
        Some(total) if total >= received && total > 0 => {
            dom::set(&bar, "value", &(received as f64 / total as f64).to_string());
            dom::set_text(
                "progress-text",
                &format!("weights {:.1} of {:.1} MB", mb(received), mb(total)),
            );
        }
        _ => dom::set_text("progress-text", &format!("weights {:.1} MB", mb(received))),
    }
}

/// Takes the progress bar away.
pub fn loading_done() {
    dom::element("loading").set_hidden(true);
}

/// Shows the picture that the network sees.
pub fn picture(pixels: &[u8]) {
    dom::paint(&dom::get("picture"), pixels, theme::is_light());
}

/// Times, and what runs.
pub fn latency(trace: &Trace, recent: &[f64], model: Option<&Ready>) {
    let mut sorted = recent.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let steps = trace.times.len() - 1;
    let seeds = trace.predictions.len();
    let mut text = format!(
        "picture {:.1} ms · {seeds} walk(s) of {steps} steps {:.1} ms ({:.2} ms a step) · median {median:.1} ms · {:.0} walks/s",
        trace.features_ms,
        trace.walk_ms,
        trace.walk_ms / steps as f64,
        1000.0 * seeds as f64 / trace.walk_ms.max(1e-3),
    );
    if let Some(model) = model {
        let _ = write!(
            text,
            " · model of {} parameters from {}, loaded in {:.0} ms, first pass {:.0} ms",
            model.parameters, model.weights_from, model.load_ms, model.warm_up_ms
        );
    }
    dom::set_text("latency", &text);
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

/// Everything about the present step: verdict, bars, numbers.
pub fn step(
    trace: &Trace,
    model: &Ready,
    clock: &Clock,
    truth: Option<usize>,
    settings: &Settings,
) {
    let m = model.classes.len();
    let steps = trace.times.len() - 1;
    let k = clock.step().min(steps);
    let row = &trace.probabilities[k * m..(k + 1) * m];
    let best = largest(row);
    let label = dom::element("label");
    dom::set_text("label", &model.classes[best]);
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
            model.classes[largest(&trace.beliefs[k * m..(k + 1) * m])]
        ),
    };
    dom::set_text("caption", &caption);
    // Spoken aloud, so only what is settled: the end of the walk.
    if !clock.playing {
        let verdict = match truth {
            Some(truth) if k == steps && truth == best => {
                format!("{percent:.1} % sure, and right")
            }
            Some(truth) if k == steps => {
                format!("{percent:.1} % sure, but it is a {}", model.classes[truth])
            }
            _ => format!("{percent:.1} % at step {k}"),
        };
        dom::set_text("verdict", &verdict);
    } else {
        dom::set_text("verdict", "denoising …");
    }
    bars(row, &model.classes, best);
    inspector(trace, model, k, settings);
}

fn bars(row: &[f32], classes: &[String], best: usize) {
    let list = dom::element("bars");
    if list.child_element_count() as usize != classes.len() {
        list.set_inner_html("");
        for (k, class) in classes.iter().enumerate() {
            let item = dom::create("li", "");
            item.set_inner_html("<span class=name></span><span class=track><span class=fill></span></span><span class=value></span>");
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
            }
            let mark = if k == best { "◀ " } else { "" };
            value.set_text_content(Some(&format!("{mark}{:.1} %", 100.0 * p)));
        }
    }
}

/// Probabilities after each step (rows) of each class (columns).
pub fn strip(trace: &Trace, classes: &[String], step: usize) {
    let canvas: HtmlCanvasElement = dom::get("strip");
    let (width, height, ratio) = dom::fit(&canvas);
    let context = dom::context(&canvas);
    let _ = context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0);
    context.clear_rect(0.0, 0.0, width, height);
    let m = classes.len();
    let rows = trace.times.len();
    let (head, left) = (18.0, 4.0);
    let (w, h) = (
        (width - 2.0 * left) / m as f64,
        (height - head - 2.0) / rows as f64,
    );
    let theme = theme::Theme::read();
    context.set_font("12px system-ui, sans-serif");
    context.set_text_align("center");
    for (k, class) in classes.iter().enumerate() {
        context.set_fill_style_str(&theme.quiet);
        let _ = context.fill_text(class, left + (k as f64 + 0.5) * w, 12.0);
    }
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

/// The present step, as the sampler sees it.
fn inspector(trace: &Trace, model: &Ready, k: usize, settings: &Settings) {
    let (m, d) = (model.classes.len(), model.latent_dim as usize);
    let steps = trace.times.len() - 1;
    let z = &trace.latents[k * d..(k + 1) * d];
    let belief = &trace.beliefs[k * m..(k + 1) * m];
    let u_hat: Vec<f32> = (0..d)
        .map(|j| {
            (0..m)
                .map(|c| belief[c] * model.embeddings[c * d + j])
                .sum()
        })
        .collect();
    let next = (k + 1).min(steps);
    let (here, there) = (trace.alpha_bar[k], trace.alpha_bar[next]);
    let numbers = |values: &[f32]| {
        let shown: Vec<String> = values.iter().take(10).map(|v| format!("{v:+.2}")).collect();
        let more = if values.len() > 10 { " …" } else { "" };
        format!("{}{more}", shown.join(" "))
    };
    let h = trace.log_snr[next] - trace.log_snr[k];
    let formula = match settings.walk.sampler {
        _ if k == steps => "the walk is over; the output head reads z".to_owned(),
        SamplerKind::Euler | SamplerKind::Heun if h > LONGEST_STEP as f32 => format!(
            "Δλ = {h:.2} is too long for an explicit step (3 at most), so this one is DDIM's"
        ),
        SamplerKind::Ddim => {
            let keep = ((1.0 - there) / (1.0 - here)).sqrt();
            format!(
                "DDIM: z′ = √ᾱ′ û + √((1−ᾱ′)/(1−ᾱ)) (z − √ᾱ û) = {:.3} û + {keep:.3} z",
                there.sqrt() - keep * here.sqrt()
            )
        }
        SamplerKind::Ancestral => {
            format!("ancestral: z′ = a û + b z + √c ε, from ᾱ = {here:.4} to ᾱ′ = {there:.4}")
        }
        SamplerKind::Euler => format!(
            "Euler: z′ = z + Δλ·½(√ᾱ û − ᾱ z) = z + {:.3}·({:.3} û − {here:.3} z)",
            0.5 * h,
            here.sqrt()
        ),
        SamplerKind::Heun => {
            format!("Heun: Euler's step with Δλ = {h:.3}, then the mean of the slopes at both ends")
        }
        SamplerKind::ReferenceEuler | SamplerKind::ReferenceHeun => format!(
            "reference: dz/dt = (û − z)/(1 − ᾱ), here (û − z) · {:.1}",
            1.0 / (1.0 - here).max(1e-6)
        ),
    };
    let rows = [
        ("t", format!("{:.3}", trace.times[k])),
        ("ᾱ (signal)", format!("{here:.4}")),
        ("λ = log SNR", format!("{:+.3}", trace.log_snr[k])),
        ("z", numbers(z)),
        ("û", numbers(&u_hat)),
        ("next step", formula),
    ];
    let list = dom::element("inspector");
    if list.child_element_count() as usize != 2 * rows.len() {
        list.set_inner_html("");
        for (name, _) in &rows {
            let term = dom::create("span", "term");
            term.set_text_content(Some(name));
            let _ = list.append_child(&term);
            let _ = list.append_child(&dom::create("span", "number"));
        }
    }
    for (i, (_, text)) in rows.iter().enumerate() {
        if let Some(cell) = list.children().item(2 * i as u32 + 1) {
            cell.set_text_content(Some(text));
        }
    }
}

/// An empty drawing: nothing is said of it.
pub fn nothing() {
    dom::set_text("label", "·");
    dom::set_text("verdict", "draw a digit");
    dom::set_text("caption", "");
    dom::element("bars").set_inner_html("");
    dom::element("tally").set_inner_html("");
    dom::element("inspector").set_inner_html("");
    let strip: HtmlCanvasElement = dom::get("strip");
    let (width, height, _) = dom::fit(&strip);
    dom::context(&strip).clear_rect(0.0, 0.0, width * 3.0, height * 3.0);
}

/// An evaluation is under way.
pub fn evaluation_began() {
    dom::element("cancel").set_hidden(false);
    dom::set(&dom::element("evaluate"), "disabled", "");
    dom::element("confusion").set_inner_html("");
    dom::set_text("accuracy", "classifying …");
}

/// It is over.
pub fn evaluation_ended() {
    dom::element("cancel").set_hidden(true);
    let _ = dom::element("evaluate").remove_attribute("disabled");
}

/// Accuracy so far, and what the command line recorded for the same walk.
pub fn accuracy(progress: &AccuracyProgress, classes: &[String], recorded: Option<f64>) {
    let rate = 1000.0 * f64::from(progress.done) / progress.ms.max(1e-3);
    let command_line = match recorded {
        Some(percent) if progress.finished => {
            format!("; the command line gave {percent:.1} % for the same images and noise")
        }
        _ => String::new(),
    };
    dom::set_text(
        "accuracy",
        &format!(
            "{:.1} % of {} images right ({} of {}); 95 % interval {:.1} to {:.1} %; {rate:.0} images/s{command_line}",
            100.0 * f64::from(progress.correct) / f64::from(progress.done.max(1)),
            progress.done,
            progress.correct,
            progress.total,
            progress.interval.0,
            progress.interval.1,
        ),
    );
    if progress.finished {
        evaluation_ended();
        confusion(progress, classes);
    }
}

fn confusion(progress: &AccuracyProgress, classes: &[String]) {
    let m = classes.len();
    let mut html = String::from(
        "<table><caption>Rows: the right label; columns: the prediction</caption><thead><tr><th></th>",
    );
    for class in classes {
        let _ = write!(html, "<th scope=col>{}</th>", escape(class));
    }
    html += "</tr></thead><tbody>";
    for (row, class) in progress.confusion.chunks(m).zip(classes) {
        let _ = write!(html, "<tr><th scope=row>{}</th>", escape(class));
        let at = classes.iter().position(|c| c == class);
        for (k, count) in row.iter().enumerate() {
            let kind = match (*count, at == Some(k)) {
                (0, _) => "none",
                (_, true) => "right",
                (_, false) => "wrong",
            };
            let _ = write!(html, "<td class={kind}>{count}</td>");
        }
        html += "</tr>";
    }
    html += "</tbody></table>";
    dom::element("confusion").set_inner_html(&html);
}

/// Class names come from a file that anybody may have made.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
