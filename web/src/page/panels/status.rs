//! What computes, how far it is, how fast it was, and what went wrong.

use std::fmt::Write;

use super::super::dom;
use crate::protocol::{Backend, Ready, Trace};

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
    let why = format!("{}: {}.{test}", name(ready.backend), ready.reason);
    dom::set_text("backend-why", &why);
    let action = format!("Computes on {why} Click to switch.");
    dom::set(&chip, "title", &action);
    dom::set(&chip, "aria-label", &action);
}

/// Shows a sentence above everything, or nothing.
pub fn banner(message: &str) {
    let banner = dom::element("banner");
    banner.set_hidden(message.is_empty());
    dom::set_text("banner-text", message);
    dom::element("retry").set_hidden(true);
}

/// Shows a sentence, and a button that starts the engine once more.
pub fn banner_with_retry(message: &str) {
    banner(message);
    dom::element("retry").set_hidden(false);
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

/// Shows the progress bar.
pub fn loading() {
    dom::element("loading").set_hidden(false);
    dom::set_text("progress-text", "loading");
}

/// Takes the progress bar away.
pub fn loading_done() {
    dom::element("loading").set_hidden(true);
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
            " · model of {} parameters from {}, loaded in {:.0} ms",
            model.parameters, model.weights_from, model.load_ms
        );
        // Where kernels were compiled.
        if model.self_test.is_some() {
            let _ = write!(text, ", first pass {:.0} ms", model.warm_up_ms);
        }
    }
    dom::set_text("latency", &text);
}
