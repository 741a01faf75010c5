//! CIFAR-100 (Krizhevsky 2009), the binary version, with its fine labels.

use super::{Download, Format, Published, PublishedFile};

/// Small photographs in 100 classes.
pub static CIFAR100: Published = Published {
    key: "cifar100",
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
    // As in `noprop_simple.py` of yhgon/NoProp.
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
            PublishedFile {
                name: "train.bin",
                md5: None,
            },
            PublishedFile {
                name: "test.bin",
                md5: None,
            },
        ],
    }],
    mirrors: &[
        "https://www.cs.toronto.edu/~kriz/",
        "https://cave.cs.toronto.edu/kriz/",
    ],
    subfolders: &["cifar-100-binary"],
    npm: None,
};
