//! The subset of MNIST inside the program, for when nothing better can be had: of each digit the
//! first 600 training and the first 100 test images, in the official order. It is made by
//! `examples/make_subset.rs`.

use crate::DataError;
use crate::native::archive::LoadedFile;
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
pub(crate) fn mnist_subset() -> Result<[LoadedFile; 4], DataError> {
    let mut files = [const { None }; 4];
    for (slot, (name, gz)) in files.iter_mut().zip(MNIST_SUBSET) {
        let place = format!("embedded {name}");
        let bytes = maybe_gunzip(gz.to_vec()).map_err(|error| error.at(&place))?;
        *slot = Some(LoadedFile { place, bytes });
    }
    Ok(files.map(Option::unwrap_or_default))
}
