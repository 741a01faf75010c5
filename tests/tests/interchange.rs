//! Weights from and to PyTorch, through the program and through damaged files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use noprop_core::weights::{self, Tensors};
use noprop_pytorch::StateDict;
use noprop_tests::command_line::{CPU, refuses, succeeds};
use noprop_tests::fixtures::{fixture, state_dict};
use proptest::prelude::*;

/// The largest difference of a number, as a share of the largest entry of its tensor; `parity/main.rs` has the same.
const TOLERANCE: f32 = 1e-5;
const WALK_TOLERANCE: f32 = 1e-4;

const MODELS: [&str; 6] = [
    "ours.safetensors",
    "ours-cnn.safetensors",
    "ours-bottleneck.safetensors",
    "ours-classifier.safetensors",
    "reference-mnist.pt",
    "reference-simple.safetensors",
];

fn stem(file: &str) -> &str {
    file.split('.').next().unwrap()
}

fn read(path: &Path) -> Tensors {
    StateDict::read(&fs::read(path).unwrap()).unwrap().tensors
}

/// Runs `noprop import` on a fixture in `folder`, and returns the name of the file that it wrote.
fn import(folder: &Path, file: &str) -> String {
    let out = format!("{}.model.safetensors", stem(file));
    let mut args = format!("import {} --out {out}", fixture(file).display());
    if file.starts_with("reference-simple") {
        // Ten classes may be those of MNIST or of CIFAR-10.
        args += " --dataset cifar10";
    }
    succeeds(folder, &args);
    out
}

#[test]
fn the_values_of_what_was_imported_are_pytorchs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for file in ["ours.safetensors", "reference-mnist.pt"] {
        let model = import(at, file);
        let expected = state_dict(&format!("{}.expected.safetensors", stem(file))).tensors;
        let inputs = ["images", "z", "t", "noise"];
        let given = expected
            .iter()
            .filter(|(name, _)| inputs.contains(&name.as_str()));
        let given: Tensors = given.map(|(name, t)| (name.clone(), t.clone())).collect();
        fs::write(
            at.join("in.safetensors"),
            weights::serialize(&given, &[]).unwrap(),
        )
        .unwrap();
        for kind in ["ancestral", "heun", "reference-heun"] {
            let Some(walk) = expected.get(&format!("trajectory.{kind}")) else {
                continue;
            };
            let steps = walk.shape[0] - 1;
            let args = format!("--sampler {kind} --steps {steps} {CPU}");
            succeeds(
                at,
                &format!(
                    "dump-values --weights {model} --inputs in.safetensors --out out.safetensors {args}"
                ),
            );
            let dumped = read(&at.join("out.safetensors"));
            for (ours, theirs, tolerance) in [
                ("features", "features", TOLERANCE),
                ("logits", "logits", TOLERANCE),
                ("u_hat", "u_hat", TOLERANCE),
                ("alpha_bar", "alpha_bar", TOLERANCE),
                (
                    "z_trajectory",
                    &format!("trajectory.{kind}"),
                    WALK_TOLERANCE,
                ),
                ("prediction", &format!("prediction.{kind}"), 0.0),
            ] {
                let (ours_values, theirs_values) = (&dumped[ours], &expected[theirs]);
                assert_eq!(ours_values.shape, theirs_values.shape, "{file}: {ours}");
                let scale = theirs_values
                    .values
                    .iter()
                    .fold(1.0_f32, |most, v| v.abs().max(most));
                for (a, b) in ours_values.values.iter().zip(&theirs_values.values) {
                    assert!(
                        (a - b).abs() <= tolerance * scale,
                        "{file}, {kind}, {ours}: {a}, not {b}"
                    );
                }
            }
            if kind == "ancestral" {
                assert_eq!(dumped["noise"], expected["noise"]);
            }
        }
    }
}

#[test]
fn ancestral_noise_of_our_own_comes_with_the_values() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let model = fixture("ours.safetensors").display().to_string();
    let mut given = state_dict("ours.expected.safetensors").tensors;
    given.retain(|name, _| ["images", "z", "t"].contains(&name.as_str()));
    let write = |given: &Tensors| {
        fs::write(
            at.join("in.safetensors"),
            weights::serialize(given, &[]).unwrap(),
        )
        .unwrap();
    };
    let dump = format!(
        "dump-values --weights {model} --inputs in.safetensors --out out.safetensors {CPU}"
    );
    let walk = || {
        succeeds(
            at,
            &format!("{dump} --sampler ancestral --steps 4 --seed 7"),
        );
        read(&at.join("out.safetensors"))
    };
    write(&given);
    let first = walk();
    assert_eq!(first["noise"].shape, [4, 3, 12]);
    given.insert("noise".into(), first["noise"].clone());
    write(&given);
    assert_eq!(walk(), first, "the noise that was used makes the same walk");

    let mut wrong = given.clone();
    wrong.get_mut("t").unwrap().values[0] = 1.5;
    write(&wrong);
    refuses(at, &dump, &["between 0 and 1"]);
    wrong = given.clone();
    wrong.insert("z".into(), given["t"].clone());
    write(&wrong);
    refuses(at, &dump, &["\"z\"", "[3, 12]"]);
    wrong.remove("z");
    write(&wrong);
    refuses(at, &dump, &["no tensor \"z\""]);
}

#[test]
fn what_was_imported_goes_back_to_the_bit_under_the_same_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let names = fs::read_to_string(fixture("names.json")).unwrap();
    type Shapes = BTreeMap<String, BTreeMap<String, Vec<usize>>>;
    let names: Shapes = serde_json::from_str(&names).unwrap();
    for file in MODELS {
        let model = import(at, file);
        succeeds(
            at,
            &format!("export {model} --to pytorch --out back.safetensors"),
        );
        let back = read(&at.join("back.safetensors"));
        assert_eq!(back, state_dict(file).tensors, "{file}");
        let shapes = back.into_iter().map(|(name, tensor)| (name, tensor.shape));
        assert_eq!(
            shapes.collect::<BTreeMap<_, _>>(),
            names[stem(file)],
            "{file}"
        );
        // The file can be imported again without any flag.
        succeeds(at, "import back.safetensors --out again.safetensors");
        assert_eq!(
            read(&at.join("again.safetensors")),
            read(&at.join(&model)),
            "{file}"
        );
    }
}

#[test]
fn what_cannot_be_known_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let import = |file: &str, flags: &str, expected: &[&str]| {
        let file = fixture(file).display().to_string();
        refuses(
            at,
            &format!("import {file} --out out.safetensors {flags}"),
            expected,
        );
        assert!(!at.join("out.safetensors").exists());
    };
    import("reference-simple.safetensors", "", &["--dataset"]);
    import(
        "reference-simple.safetensors",
        "--dataset cifar100",
        &["10 classes"],
    );
    import("torchvision.pt", "", &["--init-backbone"]);
    import("checkpoint.pt", "", &["no model that is known"]);
    import("ours.safetensors", "--recipe mnist-small", &["do not fit"]);
    import("names.json", "", &["neither a .pt nor a .safetensors"]);
    import(
        "reference-mnist.pt",
        "--as reference-simple --dataset mnist",
        &["is missing"],
    );
    import(
        "reference-mnist.pt",
        "--as vgg",
        &["reference-simple, torchvision"],
    );
    // Without its card, a file of ours does not tell its noise schedule.
    let bare = weights::serialize(&state_dict("ours.safetensors").tensors, &[]).unwrap();
    fs::write(at.join("bare.safetensors"), bare).unwrap();
    refuses(
        at,
        "import bare.safetensors --out out.safetensors",
        &["do not tell method and architecture", "--recipe"],
    );
    refuses(
        at,
        "import nothing.pt --out out.safetensors",
        &["nothing.pt cannot be read"],
    );
    // If a file of PyTorch is given in place of ours, the error says what to do.
    let file = fixture("reference-simple.safetensors")
        .display()
        .to_string();
    refuses(
        at,
        &format!("export {file} --out x.safetensors"),
        &["noprop import"],
    );
}

#[test]
fn a_checkpoint_of_torch_is_read_as_torch_reads_it() {
    let expected = state_dict("checkpoint.expected.safetensors").tensors;
    let read = state_dict("checkpoint.pt").tensors;
    // The file has tensors of f16, bf16, f32, f64 and i64, without dimensions, transposed, a part of a storage, a
    // Parameter.
    assert_eq!(read.len(), 10);
    assert_eq!(read, expected);
}

#[test]
fn every_truncation_and_every_changed_byte_is_survived() {
    for file in ["checkpoint.pt", "torchvision.pt"] {
        let whole = fs::read(fixture(file)).unwrap();
        for length in (0..whole.len()).step_by(whole.len() / 199) {
            assert!(
                StateDict::read(&whole[..length]).is_err(),
                "{file}, {length} bytes"
            );
        }
    }
    let whole = fs::read(fixture("checkpoint.pt")).unwrap();
    // The pickle is at the beginning of the file, the directory at the end.
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let _ = StateDict::read(&bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damage_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let mut bytes = fs::read(fixture("checkpoint.pt")).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = StateDict::read(&bytes);
    }

    #[test]
    fn neither_does_noise(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(StateDict::read(&bytes).is_err());
        let archive = [b"PK\x03\x04".as_slice(), &bytes].concat();
        prop_assert!(StateDict::read(&archive).is_err());
    }
}

const RECIPE: &str = r#"
[model]
embed_dim = 8
time_dim = 8
[model.backbone]
kind = "resnet"
depth = 18
stem = "imagenet"
width = 2
[model.head]
hidden = [8, 8]
[data]
limit = 64
validation = 0
[train]
epochs = 1
batch_size = 32
lr = 1e-9
weight_decay = 0.0
[eval]
steps = 1
"#;

#[test]
fn a_training_starts_from_a_backbone_and_resumes_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("r.toml"), RECIPE).unwrap();
    fs::copy(fixture("torchvision.pt"), at.join("resnet.pt")).unwrap();
    let train = format!("train --recipe r.toml --no-table --offline {CPU} --out run");
    succeeds(at, &format!("{train} --init-backbone resnet.pt"));
    let config = fs::read_to_string(at.join("run/config.toml")).unwrap();
    assert!(config.contains("init_backbone = \"resnet.pt\""), "{config}");

    let trained = read(&at.join("run/model.safetensors"));
    let given = state_dict("torchvision.pt").tensors;
    let mut compared = 0;
    for (name, theirs) in &given {
        if name.contains("running_") || name.starts_with("fc.") || name == "conv1.weight" {
            continue;
        }
        let ours = &trained[&format!("backbone.{name}")];
        for (a, b) in ours.values.iter().zip(&theirs.values) {
            // Two steps move a weight by at most 2e-9, far below the resolution of f32.
            assert!((a - b).abs() <= 1e-6, "{name}");
            compared += 1;
        }
    }
    assert!(compared > 10_000, "{compared}");
    // One channel has the sum of the kernels of three channels.
    let (one, three) = (&trained["backbone.conv1.weight"], &given["conv1.weight"]);
    assert_eq!(one.shape, [2, 1, 7, 7]);
    let sum: f32 = (0..3).map(|c| three.values[49 * c]).sum();
    assert!((one.values[0] - sum).abs() <= 1e-6);

    fs::remove_file(at.join("resnet.pt")).unwrap();
    succeeds(
        at,
        &format!("train --resume run --epochs 2 --no-table --offline {CPU}"),
    );
    refuses(
        at,
        "train --resume run --init-backbone resnet.pt",
        &["--init-backbone"],
    );
    refuses(
        at,
        &format!("{train} --force --init-backbone resnet.pt"),
        &["resnet.pt cannot be read"],
    );
    let torchvision = fixture("torchvision.pt").display().to_string();
    refuses(
        at,
        &format!("{train} --force --backbone resnet50 --init-backbone {torchvision}"),
        &["layer1.0.bn3.bias"],
    );
}
