//! A step in numbers, as the sampler sees it.

use noprop_core::SamplerKind;
use noprop_core::sampler::LONGEST_STEP;
use web_sys::HtmlCanvasElement;

use super::super::{dom, theme};
use crate::logic::settings::Settings;
use crate::protocol::{Ready, Trace};

/// Shows step `k` of `trace`.
pub fn show(trace: &Trace, model: &Ready, k: usize, settings: &Settings) {
    let (m, d) = (model.classes.len(), model.latent_dim as usize);
    let z = &trace.latents[k * d..(k + 1) * d];
    let belief = &trace.beliefs[k * m..(k + 1) * m];
    let u_hat: Vec<f32> = (0..d)
        .map(|j| {
            (0..m)
                .map(|c| belief[c] * model.embeddings[c * d + j])
                .sum()
        })
        .collect();
    let numbers = |values: &[f32]| {
        let shown: Vec<String> = values.iter().take(10).map(|v| format!("{v:+.2}")).collect();
        let more = if values.len() > 10 { " …" } else { "" };
        format!("{}{more}", shown.join(" "))
    };
    let here = trace.alpha_bar[k];
    let rows = [
        ("t", format!("{:.3}", trace.times[k])),
        ("ᾱ (signal)", format!("{here:.4}")),
        ("λ = log SNR", format!("{:+.3}", trace.log_snr[k])),
        ("z", numbers(z)),
        ("û", numbers(&u_hat)),
        ("next step", formula(trace, model, k, settings.walk.sampler)),
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
    curve(trace, model, k);
}

/// The step from t_k with its numbers put in.
fn formula(trace: &Trace, model: &Ready, k: usize, sampler: SamplerKind) -> String {
    let steps = trace.times.len() - 1;
    let next = (k + 1).min(steps);
    let dt = trace.times[next] - trace.times[k];
    let (here, there) = (trace.alpha_bar[k], trace.alpha_bar[next]);
    let h = trace.log_snr[next] - trace.log_snr[k];
    match sampler {
        _ if k == steps => "the walk is over; the output head reads z".to_owned(),
        SamplerKind::Euler if model.is_flow => {
            format!("Euler: z′ = z + {dt:.3}·v, the velocity of flow matching")
        }
        SamplerKind::Heun if model.is_flow => {
            format!(
                "Heun: Euler's step with Δt = {dt:.3}, then the mean of the velocities at both ends"
            )
        }
        SamplerKind::Euler | SamplerKind::Heun if h > LONGEST_STEP as f32 => format!(
            "Δλ = {h:.2} is too long for an explicit step ({LONGEST_STEP} at most), so this one is DDIM's"
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
    }
}

/// λ = log SNR over t, from noise to label, with a dot at t_k.
fn curve(trace: &Trace, model: &Ready, k: usize) {
    let canvas: HtmlCanvasElement = dom::get("curve");
    let (width, height, ratio) = dom::fit(&canvas);
    let context = dom::context(&canvas);
    let _ = context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0);
    context.clear_rect(0.0, 0.0, width, height);
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
    let theme = theme::Theme::read();
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
    let (x, y) = place(trace.times[k], trace.log_snr[k]);
    context.set_fill_style_str(&theme.ink);
    context.begin_path();
    let _ = context.arc(x, y, 5.0, 0.0, std::f64::consts::TAU);
    context.fill();
}
