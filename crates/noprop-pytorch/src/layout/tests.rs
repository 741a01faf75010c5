use super::*;
use noprop_core::backbone::{BackboneConfig, Depth, ResNetConfig, Stem};
use noprop_core::config::{HeadConfig, LabelEncoderConfig};
use noprop_core::embedding::{ClassEmbeddingConfig, PrototypeSource};
use noprop_core::method::Reference;

/// A small model with the configuration of one of the reference's.
fn config(layout: Layout) -> ModelConfig {
    let simple = layout == Layout::ReferenceSimple;
    ModelConfig {
        input: [3, 28, 28],
        embed_dim: 8,
        time_dim: 8,
        time_scale: 1.0,
        backbone: BackboneConfig::Resnet(ResNetConfig {
            depth: Depth::ResNet10,
            stem: Stem::Imagenet,
            width: 2,
        }),
        class_embedding: if simple {
            ClassEmbeddingConfig::Prototype {
                source: PrototypeSource::RandomFeatures,
            }
        } else {
            ClassEmbeddingConfig::OneHot
        },
        label_encoder: if simple {
            LabelEncoderConfig::Residual
        } else {
            LabelEncoderConfig::Linear
        },
        head: HeadConfig {
            hidden: [8, 8],
            batch_norm: true,
        },
        ..Default::default()
    }
}

fn method(layout: Layout) -> Method {
    let reference = |gamma: f64| Reference {
        gamma_0: -gamma,
        gamma_1: gamma,
        hidden: 4,
        eta: 1.0,
    };
    match layout {
        Layout::ReferenceSimple => Method::ReferenceSimple(reference(7.0)),
        _ => Method::ReferenceMnist(reference(5.0)),
    }
}

fn model(method: &Method, config: &ModelConfig) -> (NoProp, ModelCard) {
    let model = NoProp::new(method, config, 1, &Device::flex()).expect("a valid configuration");
    (model, nameless(method, config))
}

#[test]
fn what_is_exported_comes_back_to_the_bit() {
    for layout in [Layout::ReferenceMnist, Layout::ReferenceSimple] {
        let (model, card) = model(&method(layout), &config(layout));
        let (bytes, names) = export(&model, &card).expect("a file");
        assert_eq!(names, layout);
        let state = StateDict::read(&bytes).expect("a state dict");
        assert_eq!(state.card.as_ref(), Some(&card));
        let imported = import(state, None, None, [28, 28]).expect("a model");
        assert_eq!(imported.layout, layout);
        assert_eq!(imported.model.config(), &card.model);
        let parameters = |model| weights::parameters(model).expect("its parameters");
        assert_eq!(parameters(&imported.model), parameters(&model));
    }
}

#[test]
fn gamma_has_no_dimensions_there() {
    let (model, card) = model(
        &method(Layout::ReferenceMnist),
        &config(Layout::ReferenceMnist),
    );
    let (bytes, _) = export(&model, &card).expect("a file");
    let tensors = StateDict::read(&bytes).expect("a state dict").tensors;
    assert_eq!(tensors["noise.gamma0"].shape, [0; 0]);
    assert_eq!(tensors["noise.gamma1"].values, [5.0]);
    assert!(!tensors.contains_key("class_embedding.weight"));
}

#[test]
fn a_model_that_is_almost_the_references_keeps_our_names() {
    let changed = ModelConfig {
        time_scale: 2.0,
        ..config(Layout::ReferenceMnist)
    };
    let method = method(Layout::ReferenceMnist);
    let (model, card) = model(&method, &changed);
    let (bytes, names) = export(&model, &card).expect("a file");
    assert_eq!(names, Layout::Ours);
    let state = StateDict::read(&bytes).expect("a state dict");
    assert!(state.tensors.contains_key("denoiser.head.fc1.weight"));
    // Without a card, the shapes do not tell the configuration.
    let error = import(state.clone(), None, None, [28, 28]).expect_err("no configuration");
    assert!(matches!(error, PytorchError::Incomplete(_)), "{error}");
    let imported = import(state, None, Some((method, changed)), [28, 28]).expect("a model");
    assert_eq!(imported.layout, Layout::Ours);
}

#[test]
fn what_does_not_fit_is_named() {
    let (model, card) = model(
        &method(Layout::ReferenceMnist),
        &config(Layout::ReferenceMnist),
    );
    let (bytes, _) = export(&model, &card).expect("a file");
    let mut state = StateDict::read(&bytes).expect("a state dict");
    let refusal = |state: &StateDict, layout| {
        let result = import(state.clone(), layout, None, [28, 28]);
        result.expect_err("it does not fit").to_string()
    };
    let bias = state.tensors.remove("fuse.net.1.bias").expect("a bias");
    let error = refusal(&state, None);
    assert!(
        error.contains("denoiser.head.bn1.bias is in the model and not"),
        "{error}"
    );
    state.tensors.insert("fuse.net.1.bias".into(), bias.clone());
    state.tensors.insert("extra".into(), bias);
    assert!(refusal(&state, None).contains("extra is in the file"));
    assert!(refusal(&state, Some(Layout::Torchvision)).contains("a backbone without"));
    state.tensors.retain(|name, _| name.starts_with("fuse"));
    assert!(refusal(&state, None).contains("no model that is known"));
}

#[test]
fn an_absurd_width_is_refused_before_it_is_made() {
    let (model, card) = model(
        &method(Layout::ReferenceMnist),
        &config(Layout::ReferenceMnist),
    );
    let (bytes, _) = export(&model, &card).expect("a file");
    let mut state = StateDict::read(&bytes).expect("a state dict");
    let width = 1_000_000;
    state.tensors.insert(
        "backbone.features.0.weight".into(),
        weights::HostTensor {
            shape: vec![width, 1, 7, 1],
            values: vec![0.0; 7 * width],
        },
    );
    let error = import(state, None, None, [28, 28])
        .expect_err("absurd")
        .to_string();
    assert!(error.contains("parameters"), "{error}");
}
