//! The samplers in the words of the page.

use noprop_core::SamplerKind;
use noprop_core::sampler::LONGEST_STEP;
use noprop_protocol::Walked;

/// The samplers that the page offers, each with its label, in the order of the selects.
pub fn offered() -> impl Iterator<Item = (SamplerKind, &'static str)> {
    SamplerKind::ALL
        .into_iter()
        .map(|sampler| (sampler, label(sampler)))
}

fn label(sampler: SamplerKind) -> &'static str {
    match sampler {
        SamplerKind::Ddim => "DDIM",
        SamplerKind::Euler => "Euler along the flow",
        SamplerKind::Heun => "Heun along the flow",
        SamplerKind::Ancestral => "Ancestral (the paper's)",
        SamplerKind::ReferenceEuler => "Reference's Euler",
        SamplerKind::ReferenceHeun => "Reference's Heun (explodes)",
    }
}

/// The step of `sampler` from t_k in `walked`, as a formula with its numbers. Flow matching (`is_flow`) has steps
/// along t.
pub fn step_formula(sampler: SamplerKind, walked: &Walked, k: usize, is_flow: bool) -> String {
    let steps = walked.steps();
    let next = (k + 1).min(steps);
    let dt = walked.times[next] - walked.times[k];
    let (here, there) = (walked.alpha_bar[k], walked.alpha_bar[next]);
    let h = walked.log_snr[next] - walked.log_snr[k];
    match sampler {
        _ if k == steps => "the walk is over; the output head reads z".to_owned(),
        SamplerKind::Euler if is_flow => {
            format!("Euler: z′ = z + {dt:.3}·v, the velocity of flow matching")
        }
        SamplerKind::Heun if is_flow => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sampler_is_offered_once_and_with_a_label() {
        let labels: Vec<&str> = offered().map(|(_, label)| label).collect();
        assert_eq!(labels.len(), SamplerKind::ALL.len());
        for (i, label) in labels.iter().enumerate() {
            assert!(!label.is_empty() && !labels[..i].contains(label));
        }
    }

    #[test]
    fn a_step_is_explained_with_its_numbers() {
        let walked = Walked {
            times: vec![0.0, 0.5, 1.0],
            alpha_bar: vec![0.018, 0.5, 0.982],
            log_snr: vec![-4.0, 0.0, 4.0],
            ..Walked::default()
        };
        let formula = |sampler, k, is_flow| step_formula(sampler, &walked, k, is_flow);
        // λ goes from −4 to 4 in two steps of 4, which is too long for Euler.
        assert!(formula(SamplerKind::Euler, 0, false).contains("Δλ = 4.00 is too long"));
        assert!(formula(SamplerKind::Euler, 0, true).contains("z + 0.500·v"));
        assert!(formula(SamplerKind::Ddim, 0, false).starts_with("DDIM"));
        for (sampler, _) in offered() {
            assert!(formula(sampler, 2, false).starts_with("the walk is over"));
        }
    }
}
