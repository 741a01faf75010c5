//! Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747).

use super::{Download, Format, Published, PublishedFile};

/// Articles of clothing.
pub static FASHION_MNIST: Published = Published {
    key: "fashion-mnist",
    classes: &[
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
    shape: [1, 28, 28],
    images: [60_000, 10_000],
    mean: &[0.2860],
    std: &[0.3530],
    home: "https://github.com/zalandoresearch/fashion-mnist",
    format: Format::Idx,
    downloads: &[
        Download::gz(
            "train-images-idx3-ubyte.gz",
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            &[PublishedFile {
                name: "train-images-idx3-ubyte",
                md5: None,
            }],
        ),
        Download::gz(
            "train-labels-idx1-ubyte.gz",
            "25c81989df183df01b3e8a0aad5dffbe",
            &[PublishedFile {
                name: "train-labels-idx1-ubyte",
                md5: None,
            }],
        ),
        Download::gz(
            "t10k-images-idx3-ubyte.gz",
            "bef4ecab320f06d8554ea6380940ec79",
            &[PublishedFile {
                name: "t10k-images-idx3-ubyte",
                md5: None,
            }],
        ),
        Download::gz(
            "t10k-labels-idx1-ubyte.gz",
            "bb300cfdad3c16e7a12a480ee83cd310",
            &[PublishedFile {
                name: "t10k-labels-idx1-ubyte",
                md5: None,
            }],
        ),
    ],
    mirrors: &[
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ],
    subfolders: &["FashionMNIST/raw", "raw"],
    npm: None,
};
