//! The comparison of the numbers of every device with those of the CPU.

use std::fmt::Write;

use noprop_core::{Accuracy, Sampler, predicted_class};
use serde::Serialize;

use super::numbers::{Numbers, Task};

/// The largest absolute difference of features and of z_1 that passes. Their values are of order 1: f32 sums in another
/// order differ by some 1e-6, and a wrong kernel by more than 1e-1.
const TOLERANCE: f32 = 1e-3;

/// The largest difference of logits that passes, as a share of the largest logit, or of 1 if that is larger. The output
/// head multiplies z_1, and with it the error of z_1, by its weights.
const LOGIT_TOLERANCE: f32 = 1e-3;

/// The number of predictions, per 1,000, that must agree.
const AGREEMENT: usize = 999;

/// The result of `noprop check`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Number of test images.
    pub images: usize,
    /// Seed of z_0.
    pub seed: u64,
    /// Factor on z_0.
    pub temperature: f32,
    /// The CPU first.
    pub devices: Vec<DeviceReport>,
    /// Whether all devices passed.
    pub passed: bool,
}

/// The report of one device.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceReport {
    /// Name of the device.
    pub device: String,
    /// The wall time in seconds, with the compilation of kernels.
    pub seconds: f64,
    /// The difference of the features from those of the CPU.
    pub features: Difference,
    /// The comparison of each walk with that of the CPU.
    pub walks: Vec<WalkReport>,
    /// Whether features and walks are within tolerance.
    pub passed: bool,
}

/// The comparison of one walk on one device.
#[derive(Debug, Clone, Serialize)]
pub struct WalkReport {
    /// The sampler.
    pub sampler: Sampler,
    /// The number of steps T.
    pub steps: usize,
    /// The accuracy in percent.
    pub accuracy: f64,
    /// Wilson's 95 % interval of the accuracy, in percent.
    pub interval: (f64, f64),
    /// Number of predictions that equal the CPU's.
    pub agreeing: usize,
    /// Number of other predictions whose two classes are a tie within tolerance on the CPU.
    pub ties: usize,
    /// The difference of z_1 from that of the CPU.
    pub latents: Difference,
    /// The difference of the class logits from those of the CPU.
    pub logits: Difference,
    /// Whether predictions, z_1 and logits are within tolerance.
    pub passed: bool,
}

/// The absolute differences of the values of two arrays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// The largest difference.
    pub max: f32,
    /// The mean difference.
    pub mean: f32,
}

impl Difference {
    fn of(a: &[f32], b: &[f32]) -> Self {
        let pairs = || a.iter().zip(b).map(|(a, b)| (a - b).abs());
        // A NaN or a missing number must not look like agreement.
        let sound = a.len() == b.len() && a.iter().chain(b).all(|x| x.is_finite());
        if !sound {
            return Self {
                max: f32::INFINITY,
                mean: f32::INFINITY,
            };
        }
        let sum: f64 = pairs().map(f64::from).sum();
        Self {
            max: pairs().fold(0.0, f32::max),
            mean: (sum / a.len().max(1) as f64) as f32,
        }
    }
}

impl Report {
    /// Compares the numbers of all devices with those of the first.
    pub fn new(task: &Task, all: &[Numbers]) -> Self {
        let devices: Vec<DeviceReport> = all
            .iter()
            .map(|numbers| DeviceReport::new(task, &all[0], numbers))
            .collect();
        Self {
            images: task.images.len(),
            seed: task.walks[0].seed,
            temperature: task.walks[0].temperature,
            passed: devices.iter().all(|device| device.passed),
            devices,
        }
    }

    /// The report as a Markdown table.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{} test images, noise seed {}, temperature {}; differences are absolute, largest (mean), from the CPU.\n\n",
            self.images, self.seed, self.temperature
        );
        text += "| device | sampler | accuracy % (95 %) | same label as CPU | features | z_1 | logits | seconds | |\n";
        text += "|---|---|---|---|---|---|---|---|---|\n";
        for device in &self.devices {
            for walk in &device.walks {
                let differing = self.images - walk.agreeing;
                let ties = match differing {
                    0 => String::new(),
                    _ => format!(" ({} of {differing} others are ties)", walk.ties),
                };
                let verdict = if walk.passed && device.features.max <= TOLERANCE {
                    "ok"
                } else {
                    "DIFFERS"
                };
                // Writing to a String cannot fail.
                let _ = writeln!(
                    text,
                    "| {} | {} T={} | {:.2} ({:.2} … {:.2}) | {} / {}{ties} | {} | {} | {} | {:.1} | {verdict} |",
                    device.device,
                    walk.sampler,
                    walk.steps,
                    walk.accuracy,
                    walk.interval.0,
                    walk.interval.1,
                    walk.agreeing,
                    self.images,
                    cell(device.features),
                    cell(walk.latents),
                    cell(walk.logits),
                    device.seconds,
                );
            }
        }
        text
    }
}

impl DeviceReport {
    fn new(task: &Task, cpu: &Numbers, numbers: &Numbers) -> Self {
        let features = Difference::of(&cpu.features, &numbers.features);
        let walks: Vec<WalkReport> = (0..task.walks.len())
            .map(|i| WalkReport::new(task, i, cpu, numbers))
            .collect();
        Self {
            device: numbers.device.clone(),
            seconds: numbers.seconds,
            passed: features.max <= TOLERANCE && walks.iter().all(|walk| walk.passed),
            features,
            walks,
        }
    }
}

impl WalkReport {
    fn new(task: &Task, i: usize, cpu: &Numbers, numbers: &Numbers) -> Self {
        let (ours, theirs) = (&cpu.walks[i], &numbers.walks[i]);
        let labels = &task.images.labels;
        let classes = ours.logits.len() / labels.len();
        let latents = Difference::of(&ours.latents, &theirs.latents);
        let logits = Difference::of(&ours.logits, &theirs.logits);
        let scale = ours.logits.iter().fold(1.0_f32, |m, x| m.max(x.abs()));

        let (mut agreeing, mut ties, mut correct) = (0, 0, 0);
        let rows = ours
            .logits
            .chunks(classes)
            .zip(theirs.logits.chunks(classes));
        for ((row, other), &label) in rows.zip(labels) {
            let (here, there) = (predicted_class(row), predicted_class(other));
            correct += usize::from(there == usize::from(label));
            if here == there {
                agreeing += 1;
            } else if row[here] - row[there] <= 2.0 * LOGIT_TOLERANCE * scale {
                ties += 1;
            }
        }
        let total = labels.len();
        let accuracy = Accuracy { correct, total };
        Self {
            sampler: task.walks[i].sampler,
            steps: task.walks[i].steps,
            accuracy: accuracy.percent(),
            interval: accuracy.wilson(),
            agreeing,
            ties,
            passed: latents.max <= TOLERANCE
                && logits.max <= LOGIT_TOLERANCE * scale
                && agreeing + ties == total
                && 1000 * agreeing >= AGREEMENT * total,
            latents,
            logits,
        }
    }
}

fn cell(difference: Difference) -> String {
    format!("{:.0e} ({:.0e})", difference.max, difference.mean)
}

#[cfg(test)]
mod tests {
    use noprop_core::Walk;
    use noprop_core::sampler::DDIM;
    use noprop_data::Split;

    use super::super::numbers::WalkNumbers;
    use super::*;

    fn task() -> Task {
        Task {
            weights: Vec::new(),
            images: Split::new(vec![0; 3], vec![0, 1, 1], [1, 1, 1], 2).unwrap(),
            walks: vec![Walk::new(DDIM, 10)],
        }
    }

    fn numbers(logits: &[f32]) -> Numbers {
        Numbers {
            device: "one".into(),
            features: vec![1.0, 2.0, 3.0],
            walks: vec![WalkNumbers {
                latents: vec![0.5, 0.25, 0.0],
                logits: logits.to_vec(),
            }],
            seconds: 1.0,
        }
    }

    #[test]
    fn the_same_numbers_pass() {
        let cpu = numbers(&[2.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
        let report = Report::new(&task(), &[cpu.clone(), cpu]);
        assert!(report.passed);
        let walk = &report.devices[1].walks[0];
        assert_eq!((walk.agreeing, walk.ties), (3, 0));
        assert!((walk.accuracy - 200.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn another_label_fails_and_a_tie_is_counted() {
        let cpu = numbers(&[2.0, 0.0, 0.0, 1.0, 1.0, 0.9999]);
        let other = numbers(&[0.0, 2.0, 0.0, 1.0, 0.9999, 1.0]);
        let report = Report::new(&task(), &[cpu, other]);
        assert!(!report.passed);
        let walk = &report.devices[1].walks[0];
        assert_eq!((walk.agreeing, walk.ties), (1, 1));
    }

    #[test]
    fn nan_and_missing_numbers_fail() {
        let cpu = numbers(&[2.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
        for damaged in [vec![2.0, 0.0, 0.0, 1.0, 1.0, f32::NAN], vec![2.0, 0.0]] {
            let report = Report::new(&task(), &[cpu.clone(), numbers(&damaged)]);
            assert!(!report.passed);
        }
        let mut far = cpu.clone();
        far.features[1] += 0.01;
        assert!(!Report::new(&task(), &[cpu, far]).passed);
    }
}
