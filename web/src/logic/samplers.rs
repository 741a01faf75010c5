//! The samplers in the words of the page.

use noprop_core::Sampler;
use noprop_core::sampler::{
    ANCESTRAL, DDIM, EULER, HEUN, LONGEST_STEP, REFERENCE_EULER, REFERENCE_HEUN, StepsEvenIn,
};
use noprop_protocol::Walked;

/// The step of `sampler` from t_k in `walked`, as a formula with its numbers. Flow matching (`is_flow`) has steps
/// along t. A sampler whose formula the page does not know is named by its label.
pub fn step_formula(sampler: Sampler, walked: &Walked, k: usize, is_flow: bool) -> String {
    let steps = walked.steps();
    if k == steps {
        return "the walk is over; the output head reads z".to_owned();
    }
    let dt = walked.times[k + 1] - walked.times[k];
    if is_flow && sampler == EULER {
        return format!("Euler: z′ = z + {dt:.3}·v, the velocity of flow matching");
    }
    if is_flow && sampler == HEUN {
        return format!(
            "Heun: Euler's step with Δt = {dt:.3}, then the mean of the velocities at both ends"
        );
    }
    let (Some((here, from)), Some((there, to))) = (walked.noise_at(k), walked.noise_at(k + 1))
    else {
        return format!("a step of {}", sampler.label);
    };
    let h = to - from;
    // The samplers with explicit steps on the probability-flow ODE.
    if sampler.steps == StepsEvenIn::Equation && h > LONGEST_STEP as f32 {
        return format!(
            "Δλ = {h:.2} is too long for an explicit step ({LONGEST_STEP} at most), so this one is DDIM's"
        );
    }
    let formulas = [
        (DDIM, {
            let keep = ((1.0 - there) / (1.0 - here)).sqrt();
            format!(
                "DDIM: z′ = √ᾱ′ û + √((1−ᾱ′)/(1−ᾱ)) (z − √ᾱ û) = {:.3} û + {keep:.3} z",
                there.sqrt() - keep * here.sqrt()
            )
        }),
        (
            ANCESTRAL,
            format!("ancestral: z′ = a û + b z + √c ε, from ᾱ = {here:.4} to ᾱ′ = {there:.4}"),
        ),
        (
            EULER,
            format!(
                "Euler: z′ = z + Δλ·½(√ᾱ û − ᾱ z) = z + {:.3}·({:.3} û − {here:.3} z)",
                0.5 * h,
                here.sqrt()
            ),
        ),
        (
            HEUN,
            format!(
                "Heun: Euler's step with Δλ = {h:.3}, then the mean of the slopes at both ends"
            ),
        ),
    ];
    if let Some((_, formula)) = formulas.into_iter().find(|(known, _)| *known == sampler) {
        return formula;
    }
    if [REFERENCE_EULER, REFERENCE_HEUN].contains(&sampler) {
        let factor = 1.0 / (1.0 - here).max(1e-6);
        return format!("reference: dz/dt = (û − z)/(1 − ᾱ), here (û − z) · {factor:.1}");
    }
    format!("a step of {}", sampler.label)
}

#[cfg(test)]
mod tests {
    use noprop_core::SAMPLERS;

    use super::*;

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
        assert!(formula(EULER, 0, false).contains("Δλ = 4.00 is too long"));
        assert!(formula(EULER, 0, true).contains("z + 0.500·v"));
        assert!(formula(DDIM, 0, false).starts_with("DDIM"));
        assert!(formula(REFERENCE_HEUN, 0, false).starts_with("reference"));
        for &sampler in SAMPLERS {
            assert!(formula(sampler, 2, false).starts_with("the walk is over"));
        }
    }
}
