//! CIFAR-10 (Krizhevsky 2009), the binary version.

use super::{Download, Format, Published, PublishedFile};

/// Small photographs in 10 classes.
pub static CIFAR10: Published = Published {
    key: "cifar10",
    classes: &[
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ],
    shape: [3, 32, 32],
    images: [50_000, 10_000],
    // As in `noprop_simple.py` of yhgon/NoProp.
    mean: &[0.4914, 0.4822, 0.4465],
    std: &[0.2470, 0.2435, 0.2616],
    home: "https://www.cs.toronto.edu/~kriz/cifar.html",
    format: Format::Cifar { label_bytes: 1 },
    downloads: &[Download {
        name: "cifar-10-binary.tar.gz",
        md5: "c32a1d4ab5d03f1284b67883e8d87530",
        folder: "cifar-10-batches-bin/",
        files: &[
            file("data_batch_1.bin"),
            file("data_batch_2.bin"),
            file("data_batch_3.bin"),
            file("data_batch_4.bin"),
            file("data_batch_5.bin"),
            file("test_batch.bin"),
        ],
    }],
    mirrors: &[
        "https://www.cs.toronto.edu/~kriz/",
        "https://cave.cs.toronto.edu/kriz/",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
    ],
    subfolders: &["cifar-10-batches-bin"],
    npm: None,
};

const fn file(name: &'static str) -> PublishedFile {
    PublishedFile { name, md5: None }
}
