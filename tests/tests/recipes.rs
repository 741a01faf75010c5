//! Every recipe in the repository leaves so little noise in z_1 that the output head can tell the classes apart.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use noprop_core::Method;
use noprop_core::embedding::ClassEmbeddingConfig;
use noprop_core::schedule::ScheduleConfig;
use noprop_train::Recipe;

/// The latents z_1 at which NoProp-CT ends tell the classes apart. With one-hot class embeddings, which are √2
/// apart, a perfect network errs with a probability of (m − 1)·Q(√(SNR(1)/2)) at most, where Q is the tail of the
/// normal distribution.
#[test]
fn the_end_of_the_walk_tells_the_classes_apart() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        // These are settings of others.
        if name.starts_with("paper-") || name.starts_with("reference-") {
            continue;
        }
        let recipe: Recipe = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let Method::Ct(ct) = &recipe.method else {
            continue;
        };
        let (ScheduleConfig::Linear { gamma_0, .. } | ScheduleConfig::Learned { gamma_0, .. }) =
            ct.schedule;
        let tail = |x: f64| 0.5 * libm::erfc(x / std::f64::consts::SQRT_2);
        let others = (recipe.model.classes - 1) as f64;
        let error = others * tail(((-gamma_0).exp() / 2.0).sqrt());
        println!("{name}: λ(1) = {}, error below {error:.1e}", -gamma_0);
        assert!(-gamma_0 >= 4.0, "{name}: λ(1) = {}", -gamma_0);
        let embedding = &recipe.model.class_embedding;
        assert_eq!(*embedding, ClassEmbeddingConfig::OneHot, "{name}");
        assert!(error < 1e-3, "{name}: {error}");
        count += 1;
    }
    assert!(count >= 7, "{count} recipes");
}
