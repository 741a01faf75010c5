//! Datasets other than MNIST, through the program: a folder of images from training to prediction, files of CIFAR and
//! IDX, and the messages about bad files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use image::{GrayImage, Rgb, RgbImage};
use noprop_data::formats::{cifar, idx};
use noprop_tests::command_line::{CPU, json, refuses, succeeds};
use serde_json::Value;

const RECIPE: &str = r#"
[model]
embed_dim = 16
time_dim = 16
[model.backbone]
kind = "resnet"
depth = 10
stem = "strided"
width = 4
[model.head]
hidden = [16, 16]
[data]
validation = 0
[data.augment]
crop_padding = 2
flip = true
[train]
epochs = 3
batch_size = 16
lr = 1e-2
[eval]
steps = 5
"#;

/// Writes `count` images of each of three classes, which differ in colour.
fn write_images(root: &Path, count: u8) {
    for (k, class) in ["red one", "green", "blue"].into_iter().enumerate() {
        fs::create_dir_all(root.join(class)).unwrap();
        for i in 0..count {
            let mut colour = [30; 3];
            colour[k] = 150 + i;
            let side = 10 + u32::from(i % 5);
            let picture = RgbImage::from_pixel(side, side, Rgb(colour));
            picture
                .save(root.join(class).join(format!("{i}.png")))
                .unwrap();
        }
    }
}

#[test]
fn a_folder_of_images_from_training_to_prediction() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_images(&at.join("photos"), 40);
    fs::write(
        at.join("photos/blue/broken.jpg"),
        b"\xff\xd8\xff no picture",
    )
    .unwrap();
    fs::write(at.join("r.toml"), RECIPE).unwrap();

    // A single flag names the images, and the model fits them.
    let (_, stderr) = succeeds(
        at,
        &format!("train --recipe r.toml --data-root photos --image-size 16 --no-table {CPU}"),
    );
    assert!(
        stderr.contains("broken.jpg") && stderr.contains("it is left out"),
        "{stderr}"
    );
    let config = fs::read_to_string(at.join("runs/photos/config.toml")).unwrap();
    for line in ["dataset = \"folder\"", "classes = 3", "crop_padding = 2"] {
        assert!(config.contains(line), "{config}");
    }

    let table = json(
        at,
        &format!(
            "eval runs/photos --data-root photos --steps 5 --samplers ddim --per-class --json {CPU}"
        ),
    );
    // A tenth of 120 images is held out, the same images as in training.
    assert_eq!(table["images"], 12);
    let classes = table["classes"].as_array().unwrap();
    let names: Vec<&str> = classes
        .iter()
        .map(|row| row["class"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["blue", "green", "red one"]);
    assert!(classes.iter().all(|row| row["images"] == 4), "{classes:?}");
    // Chance is 33 %; colour alone decides.
    assert!(
        table["rows"][0]["accuracy"].as_f64().unwrap() >= 75.0,
        "{table}"
    );

    let predict = |extra: &str| {
        succeeds(
            at,
            &format!("predict runs/photos photos/green/7.png {CPU} {extra}"),
        )
        .0
    };
    let out: Value = serde_json::from_str(&predict("--json")).unwrap();
    assert_eq!(out["class"], "green", "{out}");
    assert!(predict("").contains("red one"));
    assert_eq!(predict("--walk --steps 4").lines().count(), 2 + 5);

    // A resumed run needs the images. With more epochs it continues from the last one.
    refuses(
        at,
        &format!("train --resume runs/photos {CPU}"),
        &["--data-root"],
    );
    let (_, stderr) = succeeds(
        at,
        &format!("train --resume runs/photos --data-root photos --epochs 4 --no-table {CPU}"),
    );
    assert!(stderr.contains("resuming after step 18"), "{stderr}");

    // The images have other classes than the weights.
    fs::rename(at.join("photos/blue"), at.join("photos/azure")).unwrap();
    refuses(
        at,
        &format!("eval runs/photos --data-root photos {CPU}"),
        &["the weights know the classes blue, green, red one", "azure"],
    );
    refuses(
        at,
        "data folder --data-root photos --strict",
        &["broken.jpg"],
    );
}

#[test]
fn cifar_files_from_training_to_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("cifar")).unwrap();
    // The colour tells the class.
    let labels: Vec<u8> = (0..64).map(|i| i % 100).collect();
    let pixels: Vec<u8> = labels
        .iter()
        .flat_map(|&label| vec![4 * label; 3072])
        .collect();
    let records = cifar::write(&labels, &pixels, 2);
    fs::write(at.join("cifar/train.bin"), &records).unwrap();
    fs::write(at.join("cifar/test.bin"), &records[..20 * 3074]).unwrap();
    fs::write(
        at.join("r.toml"),
        RECIPE.replace("[data]", "[data]\ndataset = \"cifar100\""),
    )
    .unwrap();

    refuses(
        at,
        "data cifar100 --data-root cifar",
        &["holds 64 images", "hint: --allow-unverified"],
    );
    let source = "--data-root cifar --allow-unverified";
    let description = json(at, &format!("data cifar100 --json {source}"));
    assert_eq!(description["classes"][99], "worm");
    succeeds(
        at,
        &format!("train --recipe r.toml --epochs 1 --no-table {source} {CPU}"),
    );
    let table = json(
        at,
        &format!("eval runs/r --steps 2 --samplers ddim --json {source} {CPU}"),
    );
    assert_eq!(table["images"], 20);
    refuses(
        at,
        &format!("eval runs/r --offline {CPU}"),
        &[
            "cifar100 is not in the cache",
            "cifar-100-binary.tar.gz",
            "--data-root",
        ],
    );
}

#[test]
fn datasets_are_listed_verified_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let list = json(at, "data list --json");
    let names: Vec<&str> = list["datasets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["dataset"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["mnist", "fashion-mnist", "cifar10", "cifar100"]);
    assert!(succeeds(at, "data list").0.contains("folder"));

    refuses(
        at,
        "data verify cifar10",
        &["6 of 6 files", "data fetch cifar10"],
    );
    let data = at.join("data");
    fs::create_dir(&data).unwrap();
    let images = idx::write([2, 28, 28], &[9; 1568]).unwrap();
    for (name, bytes) in [
        ("train-images-idx3-ubyte", &images),
        (
            "train-labels-idx1-ubyte",
            &idx::write([2], &[0, 9]).unwrap(),
        ),
        ("t10k-images-idx3-ubyte", &images),
        ("t10k-labels-idx1-ubyte", &idx::write([2], &[0, 9]).unwrap()),
    ] {
        fs::write(data.join(name), bytes).unwrap();
    }
    let verified = json(at, "data verify fashion-mnist --data-root data --json");
    assert_eq!(verified["complete"], true);
    refuses(at, "data verify mnist --data-root data", &["4 of 4 files"]);

    let show = "data show fashion-mnist --data-root data --allow-unverified";
    succeeds(at, &format!("{show} --out a.png"));
    succeeds(at, &format!("{show} --augment --out b.png"));
    let (plain, changed) = (
        image::open(at.join("a.png")).unwrap(),
        image::open(at.join("b.png")).unwrap(),
    );
    assert_eq!(
        (plain.width(), plain.height()),
        (changed.width(), changed.height())
    );
    assert_ne!(plain.into_rgb8(), changed.into_rgb8());

    refuses(at, "data fetch folder", &["nothing to download"]);
    refuses(at, "data folder", &["--data-root"]);
    refuses(at, "data minst", &["mnist"]);
    refuses(
        at,
        "train --set data.dataset=minst",
        &[
            "data.dataset",
            "no dataset is called \"minst\"",
            "did you mean \"mnist\"?",
        ],
    );
    refuses(
        at,
        "train --dataset folder --data-root data",
        &["expected at least 2"],
    );
    refuses(at, "train --channels 2", &["expected 1 (grey) or 3 (RGB)"]);
}

#[test]
fn grey_images_of_a_folder_stay_grey() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        for split in ["train", "test"] {
            let place = folder.path().join("grey").join(split).join(class);
            fs::create_dir_all(&place).unwrap();
            GrayImage::new(5, 5).save(place.join("x.png")).unwrap();
        }
    }
    let data = json(folder.path(), "data folder --data-root grey --json");
    assert_eq!(data["shape"], serde_json::json!([1, 32, 32]));
    let data = json(
        folder.path(),
        "data folder --data-root grey --json --channels 3 --image-size 9",
    );
    assert_eq!(data["shape"], serde_json::json!([3, 9, 9]));
}
