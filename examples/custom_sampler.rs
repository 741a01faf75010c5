//! A sampler of one's own, the midpoint method, on the published weights:
//! `cargo run --release --example custom_sampler`
//!
//! A sampler is a value of type `Sampler` with a `Stepper`. Written into
//! `crates/noprop-core/src/sampler/` with a line in `SAMPLERS`, this one would appear on the command line
//! and on the page, too. A new file in `examples` needs an entry in `crates/noprop/Cargo.toml`.

use std::error::Error;

use burn::tensor::{Device, Tensor};
use noprop_core::sampler::{Ode, Stepper, StepsEvenIn, ode};
use noprop_core::schedule::SchedulePoint;
use noprop_core::{Classifier, ProcessKind, Sampler, Walk};

/// The midpoint method: of second order, two evaluations of the denoiser a step.
const MIDPOINT: Sampler = Sampler {
    name: "midpoint",
    label: "Midpoint",
    evaluations_per_step: 2,
    processes: &[ProcessKind::Diffusion, ProcessKind::Flow],
    steps: StepsEvenIn::Equation,
    start: |context| {
        let (grid, ode) = ode(context)?;
        let steps = context.steps();
        let middles: Vec<f64> = (0..steps)
            .map(|k| (k as f64 + 0.5) / steps as f64)
            .collect();
        let middles = ode.at(&middles);
        Some(Box::new(Midpoint { grid, middles, ode }))
    },
};

struct Midpoint<'a> {
    /// The process at t_0 … t_T.
    grid: SchedulePoint,
    /// The process in the middle of each step.
    middles: SchedulePoint,
    /// dz/ds = f(z, t).
    ode: Box<dyn Ode + 'a>,
}

impl Stepper for Midpoint<'_> {
    fn step(&mut self, k: usize, z: Tensor<2>) -> Tensor<2> {
        let (from, to) = (self.grid.row(k), self.grid.row(k + 1));
        let half = self.middles.row(k);
        let first = self.ode.slope(z.clone(), &from);
        let middle = z.clone() + self.ode.step_size(&from, &half) * first.value.clone();
        let slope = self.ode.slope(middle, &half);
        let z_next = z.clone() + self.ode.step_size(&from, &to) * slope.value;
        // Where T is so small that an explicit step would make errors grow, the equation takes another step.
        self.ode.guard(z, &first, &from, &to, z_next)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let weights = std::fs::read(format!("{root}/assets/mnist.safetensors"))?;
    let classifier = Classifier::load(weights, &Device::flex())?;
    let image = image::open(format!("{root}/assets/seven.png"))?.to_luma8();
    for steps in [10, 20, 40] {
        let walk = Walk::new(MIDPOINT, steps);
        let prediction = classifier.clone().with_walk(walk)?.classify(&image)?;
        let class = &classifier.classes()[prediction.class];
        let percent = 100.0 * prediction.probabilities[prediction.class];
        println!(
            "{} in {steps} steps: {class} ({percent:.2} %)",
            MIDPOINT.label
        );
    }
    Ok(())
}
