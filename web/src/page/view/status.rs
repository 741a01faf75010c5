//! The engine: its backend, its progress, its speed, its accuracy, and its errors.

use std::fmt::Write;

use noprop_protocol::{AccuracyProgress, Backend, Ready, Walked};

use crate::logic::test_images::is_word;
use crate::page::dom;

fn name(backend: Backend) -> &'static str {
    match backend {
        Backend::Cpu => "CPU",
        Backend::WebGpu => "WebGPU",
    }
}

/// Shows on the button of `backend` that this backend is being prepared.
pub fn backend_starts(backend: Backend) {
    let chip = dom::element("backend");
    dom::set(&chip, "disabled", "");
    chip.set_class_name("chip busy");
    dom::set_text("backend", &format!("{}: starting", name(backend)));
}

/// Shows the backend that computes, the reason for it, and the result of the self-test.
pub fn backend(ready: &Ready) {
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
    let why = format!("{}: {}.{test}", name(ready.backend), ready.reason);
    dom::set_text("backend-why", &why);
    let action = format!("Computes on {why} Click to switch.");
    dom::set(&chip, "title", &action);
    dom::set(&chip, "aria-label", &action);
}

/// Shows a sentence at the top of the page; an empty one removes the last.
pub fn banner(message: &str) {
    let banner = dom::element("banner");
    banner.set_hidden(message.is_empty());
    dom::set_text("banner-text", message);
    dom::element("retry").set_hidden(true);
}

/// Shows a sentence, and a button that starts the engine again.
pub fn banner_with_retry(message: &str) {
    banner(message);
    dom::element("retry").set_hidden(false);
}

/// Shows how much of the weights has arrived.
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

/// Shows the progress bar.
pub fn loading() {
    dom::element("loading").set_hidden(false);
    dom::set_text("progress-text", "loading");
}

/// Hides the progress bar.
pub fn loading_ends() {
    dom::element("loading").set_hidden(true);
}

/// Shows how long the walk took, the median of the `recent` milliseconds, and the size of the model.
pub fn latency(walked: &Walked, recent: &[f64], model: Option<&Ready>) {
    let mut sorted = recent.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let steps = walked.steps();
    let seeds = walked.predictions.len();
    let mut text = format!(
        "picture {:.1} ms · {seeds} walk(s) of {steps} steps {:.1} ms ({:.2} ms a step) · median {median:.1} ms · {:.0} walks/s",
        walked.features_ms,
        walked.walk_ms,
        walked.walk_ms / steps as f64,
        1000.0 * seeds as f64 / walked.walk_ms.max(1e-3),
    );
    if let Some(model) = model {
        let _ = write!(
            text,
            " · model of {} parameters from {}, loaded in {:.0} ms",
            model.parameters, model.weights_from, model.load_ms
        );
        // Kernels are compiled on WebGPU only, in the first pass.
        if model.self_test.is_some() {
            let _ = write!(text, ", first pass {:.0} ms", model.warm_up_ms);
        }
    }
    dom::set_text("latency", &text);
}

/// Offers to classify `count` test images.
pub fn evaluation_of(count: usize) {
    let thousands = match count {
        0..1000 => count.to_string(),
        _ => format!("{},{:03}", count / 1000, count % 1000),
    };
    dom::set_text("evaluate", &format!("Classify {thousands} test images"));
    dom::element("confusion").set_inner_html("");
    dom::set_text("accuracy", "");
}

/// Shows that the test images are being classified.
pub fn evaluation_begins() {
    dom::element("cancel").set_hidden(false);
    dom::set(&dom::element("evaluate"), "disabled", "");
    dom::element("confusion").set_inner_html("");
    dom::set_text("accuracy", "classifying …");
}

/// Shows that no test images are being classified any more.
pub fn evaluation_ends() {
    dom::element("cancel").set_hidden(true);
    let _ = dom::element("evaluate").remove_attribute("disabled");
}

/// Shows the accuracy so far and, at the end, the one that the command line `recorded` for the same walk.
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
        evaluation_ends();
        confusion(progress, classes);
    }
}

/// Shows the confusion matrix as a table.
fn confusion(progress: &AccuracyProgress, classes: &[String]) {
    let m = classes.len();
    // Names that are words stand upright above narrow columns.
    let kind = if classes.iter().any(|class| is_word(class)) {
        "words"
    } else {
        "numbers"
    };
    let mut html = format!(
        "<table class={kind}><caption>Rows: the right label; columns: the prediction</caption><thead><tr><td></td>",
    );
    for class in classes {
        let _ = write!(html, "<th scope=col><span>{}</span></th>", escape(class));
    }
    html += "</tr></thead><tbody>";
    for (truth, (row, class)) in progress.confusion.chunks(m).zip(classes).enumerate() {
        let _ = write!(html, "<tr><th scope=row>{}</th>", escape(class));
        for (k, count) in row.iter().enumerate() {
            let kind = match (*count, k == truth) {
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

/// Escapes `text` for HTML. Class names come from a file that anybody may have made.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
