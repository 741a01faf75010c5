//! The cases that are compared. The model is the reference's ResNet-18 (recipe `reference-mnist`).

/// A case: one comparison.
#[derive(Clone, Debug)]
pub struct Case {
    pub title: String,
    /// The part of the work: `step`, `forward` or `solve`, the names of `noprop bench` and `measure.py`.
    pub measure: &'static str,
    /// Height and width of the images.
    pub size: usize,
    pub batch: usize,
    /// The number of images that walk from noise to label.
    pub images: usize,
    /// The number of steps T of a walk.
    pub steps: usize,
    pub threads: usize,
    pub repeats: usize,
    pub warm_up: usize,
}

/// The number of images that the unchanged reference walks: it runs the backbone 81 times on each.
pub const REFERENCE_IMAGES: usize = 128;

impl Case {
    fn new(title: impl Into<String>, measure: &'static str, threads: usize) -> Self {
        Self {
            title: title.into(),
            measure,
            size: 28,
            batch: 128,
            images: 1000,
            steps: 40,
            threads,
            repeats: 3,
            warm_up: 2,
        }
    }

    /// The cases of the main table, each with the number of sides that take part in it.
    pub fn main(threads: usize, quick: bool) -> Vec<(Self, usize)> {
        let images = if quick { 1000 } else { 10_000 };
        let mut cases = Vec::new();
        for size in [28, 32] {
            let of = |what: &str| format!("{what}, {size}×{size}×3, batch 128");
            let step = Self {
                size,
                ..Self::new(of("training step"), "step", threads)
            };
            let forward = Self {
                size,
                repeats: 10,
                ..Self::new(of("forward pass"), "forward", threads)
            };
            cases.extend([(step, 3), (forward, 2)]);
        }
        let solve = Self {
            images,
            repeats: 1,
            warm_up: 0,
            ..Self::new(format!("Heun, T = 40, {images} images"), "solve", threads)
        };
        cases.push((solve, 3));
        cases
    }

    /// A case whose process trains one step and ends.
    pub fn start_up(threads: usize) -> Self {
        Self {
            repeats: 1,
            warm_up: 0,
            ..Self::new("process with one training step, batch 128", "step", threads)
        }
    }

    /// The cases that show how the time grows with batch, T and threads: a title and its cases.
    pub fn growth(threads: usize) -> Vec<(&'static str, Vec<Self>)> {
        let step = |batch: usize| Self {
            batch,
            ..Self::new(format!("batch {batch}"), "step", threads)
        };
        let solve = |steps: usize| Self {
            steps,
            repeats: 2,
            warm_up: 1,
            ..Self::new(format!("T = {steps}"), "solve", threads)
        };
        let count = |threads: usize| Self::new(format!("{threads} thread(s)"), "step", threads);
        let counts = (0..).map(|i| 1 << i).take_while(|n| *n <= threads);
        vec![
            (
                "Training step over the batch",
                [32, 64, 128, 256, 512].map(step).into(),
            ),
            (
                "Features and Heun walks of 1,000 images over T",
                [10, 20, 40, 100].map(solve).into(),
            ),
            (
                "Training step, batch 128, over threads",
                counts.map(count).collect(),
            ),
        ]
    }
}
