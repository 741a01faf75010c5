//! The subset of MNIST inside the program, for when nothing better can be had: of each digit the
//! first 600 training and the first 100 test images, in the official order. It is made by
//! `examples/make_subset.rs`.

use crate::DataError;
use crate::native::checksum::{Checksum, LoadedFile};
use crate::native::files::maybe_gunzip;

macro_rules! asset {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../../../assets/mnist-subset/", $name)).as_slice(),
        )
    };
}

/// Training images and labels, test images and labels.
const MNIST_SUBSET: [(&str, &[u8]); 4] = [
    asset!("train-images.idx.gz"),
    asset!("train-labels.idx.gz"),
    asset!("t10k-images.idx.gz"),
    asset!("t10k-labels.idx.gz"),
];

/// The decompressed files.
pub(crate) fn mnist_subset() -> Result<Vec<LoadedFile>, DataError> {
    let load = |(name, gz): (&str, &[u8])| {
        let place = format!("embedded {name}");
        let bytes = maybe_gunzip(gz.to_vec()).map_err(|error| error.at(&place))?;
        Ok(LoadedFile {
            place,
            bytes,
            checksum: Checksum::Unpublished,
        })
    };
    MNIST_SUBSET.into_iter().map(load).collect()
}
