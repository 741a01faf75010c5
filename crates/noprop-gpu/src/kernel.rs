//! The WGSL of the kernel: the constants of one model, followed by `shaders/ode_solve.wgsl`.

use std::fmt::Write;

use crate::model::{SolverWeights, groups};

const BODY: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../shaders/ode_solve.wgsl"
));

/// The WGSL of the solver for the model of `weights`, with `threads` invocations per workgroup.
pub fn solve_source(weights: &SolverWeights, threads: usize) -> String {
    let sizes = weights.sizes();
    let widths = [
        ("LATENT", groups(sizes.latent)),
        ("WIDTH", groups(sizes.width)),
        ("FIRST", groups(sizes.first)),
        ("SECOND", groups(sizes.second)),
        ("CLASSES", groups(sizes.classes)),
        ("THREADS", threads),
    ];
    let mut source = String::new();
    for (name, value) in widths.into_iter().chain(weights.offsets()) {
        let _ = writeln!(source, "const {name} = {value}u;");
    }
    let enters = weights.latent_enters();
    let _ = writeln!(source, "const LATENT_ENTERS = {enters};");
    let _ = writeln!(source, "const SKIP = {};", weights.skip());
    source + BODY
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    use noprop_core::config::LabelEncoderConfig;
    use noprop_core::embedding::ClassEmbeddingConfig;
    use noprop_core::{Method, ModelConfig, NoProp};

    use super::*;

    fn validate(source: &str) -> Result<naga::valid::ModuleInfo, String> {
        let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
        Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module)
            .map_err(|e| e.emit_to_string(source))
    }

    fn source(label_encoder: LabelEncoderConfig, dim: usize) -> String {
        let config = ModelConfig {
            embed_dim: 30,
            label_encoder,
            class_embedding: ClassEmbeddingConfig::Learned {
                dim: Some(dim),
                init: Default::default(),
            },
            ..Default::default()
        };
        let model = NoProp::new(&Method::default(), &config, 0, &Device::flex()).unwrap();
        let weights = pollster::block_on(SolverWeights::from_model(&model)).unwrap();
        solve_source(&weights, 64)
    }

    #[test]
    fn the_kernel_is_valid_for_both_label_encoders() {
        validate(&source(LabelEncoderConfig::Linear, 7)).unwrap();
        validate(&source(LabelEncoderConfig::Residual, 30)).unwrap();
    }

    #[test]
    fn a_kernel_that_writes_to_its_weights_is_refused() {
        let source = source(LabelEncoderConfig::Linear, 7);
        let wrong = source.replace("        result[", "        weights[");
        assert_ne!(wrong, source);
        assert!(validate(&wrong).is_err());
    }
}
