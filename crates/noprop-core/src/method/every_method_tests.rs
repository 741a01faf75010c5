//! Properties of every method: names, default walks, samplers, and refusals.

use burn::tensor::Device;

use super::tests::{batch, config, ct};
use super::*;
use crate::config::{HeadConfig, LabelEncoderConfig};
use crate::embedding::ClassEmbeddingConfig;
use crate::model::NoProp;
use crate::sampler::SAMPLERS;

/// One value of each method, in the order of the enum.
fn every_method() -> Vec<Method> {
    let reference = || Reference {
        gamma_0: -5.0,
        gamma_1: 5.0,
        hidden: 8,
        eta: 1.0,
    };
    vec![
        Method::Ct(ct()),
        Method::Fm(Fm::default()),
        Method::Dt(Dt::default()),
        Method::Backprop(Backprop::default()),
        Method::Adjoint(Adjoint::default()),
        Method::Classifier(PlainClassifier::default()),
        Method::ReferenceMnist(reference()),
        Method::ReferenceSimple(reference()),
    ]
}

/// An architecture that suits every method.
fn suits_all() -> ModelConfig {
    ModelConfig {
        class_embedding: ClassEmbeddingConfig::OneHot,
        ..config()
    }
}

#[test]
fn a_method_survives_json_under_its_name() {
    for method in every_method() {
        let json = serde_json::to_value(&method).unwrap();
        assert_eq!(json["kind"], method.name());
        assert_eq!(serde_json::from_value::<Method>(json).unwrap(), method);
        let unknown = format!(r#"{{"kind":"{}","etta":1.0}}"#, method.name());
        assert!(
            serde_json::from_str::<Method>(&unknown).is_err(),
            "{unknown}"
        );
    }
}

/// A sampler serves a method exactly where the table says so: there it ends at finite latents, and
/// elsewhere it is refused with the samplers to choose from.
#[test]
fn every_sampler_serves_the_methods_of_its_table_and_no_other() {
    let device = Device::flex();
    for method in every_method() {
        let model = NoProp::new(&method, &suits_all(), 2, &device).unwrap();
        let features = model.features(batch(&suits_all(), &device).images);
        for &sampler in SAMPLERS {
            let walk = Walk::new(sampler, method.blocks().unwrap_or(4));
            let end = model.walk(&features, &walk, 0);
            if sampler.serves(method.process()) {
                let sum = end.unwrap().sum().into_scalar::<f32>();
                assert!(sum.is_finite(), "{sampler} on {}", method.name());
            } else {
                let text = end.unwrap_err().to_string();
                let choice = method.default_walk().sampler.name;
                assert!(text.contains(choice), "{text}");
            }
        }
    }
}

#[test]
fn the_default_walk_of_every_method_suits_it() {
    for method in every_method() {
        method.check_walk(&method.default_walk()).unwrap();
    }
}

#[test]
fn values_and_architectures_that_do_not_suit_a_method_are_refused() {
    let message =
        |method: Method, model: &ModelConfig| method.validate(model).unwrap_err().to_string();
    let no_weight = Method::Ct(Ct { eta: 0.0, ..ct() });
    assert!(message(no_weight, &config()).contains("method.eta"));
    let residual = ModelConfig {
        embed_dim: 4,
        label_encoder: LabelEncoderConfig::Residual,
        ..config()
    };
    assert!(message(Method::Dt(Dt::default()), &residual).contains("residual label encoder"));
    let normalised = ModelConfig {
        head: HeadConfig {
            batch_norm: true,
            ..config().head
        },
        ..config()
    };
    assert!(message(Method::Adjoint(Adjoint::default()), &normalised).contains("batch_norm"));
    let none = Method::Adjoint(Adjoint {
        steps: 0,
        ..Default::default()
    });
    assert!(message(none, &config()).contains("method.steps"));
    let learned = Method::ReferenceMnist(Reference {
        gamma_0: -5.0,
        gamma_1: 5.0,
        hidden: 8,
        eta: 1.0,
    });
    assert!(message(learned, &config()).contains("one-hot"));
}
