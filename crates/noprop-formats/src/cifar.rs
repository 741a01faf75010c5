//! The binary format of CIFAR-10 and CIFAR-100: a file of records of one size, without a header.
//!
//! A record is the label (CIFAR-10: one byte; CIFAR-100: the coarse label, then the fine one) and 3,072
//! pixels, the planes of red, green and blue, each row by row.

/// Shape of an image: channels, height, width. The planes of the channels follow each other.
pub const SHAPE: [usize; 3] = [3, 32, 32];

/// Bytes of the pixels of a record.
const PIXELS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];

/// A parsed file, which borrows the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cifar<'a> {
    records: &'a [u8],
    label_bytes: usize,
}

/// Bytes that are not the expected file in CIFAR's format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CifarError {
    /// The bytes are not a whole number of records.
    #[error(
        "expected records of {record} bytes ({label_bytes} of labels, 3072 of pixels), found {found} \
         bytes, which is no whole number of records{}: the file is truncated or another kind of file",
        hint(*.found, *.record)
    )]
    Length {
        /// Bytes of a record.
        record: usize,
        /// Bytes of the labels of a record.
        label_bytes: usize,
        /// Bytes given.
        found: usize,
    },
    /// There are no bytes.
    #[error("the file is empty: expected records of {record} bytes")]
    Empty {
        /// Bytes of a record.
        record: usize,
    },
}

/// Parses a file of records with `label_bytes` bytes of labels, of which the last is the class: 1 for
/// CIFAR-10, 2 for CIFAR-100.
///
/// # Errors
/// [`CifarError::Empty`] without a byte, and [`CifarError::Length`] when the bytes are not a whole number
/// of records.
pub fn parse(bytes: &[u8], label_bytes: usize) -> Result<Cifar<'_>, CifarError> {
    let record = label_bytes + PIXELS;
    if bytes.is_empty() {
        return Err(CifarError::Empty { record });
    }
    if !bytes.len().is_multiple_of(record) {
        return Err(CifarError::Length {
            record,
            label_bytes,
            found: bytes.len(),
        });
    }
    Ok(Cifar {
        records: bytes,
        label_bytes,
    })
}

/// Writes records, in each of which all `label_bytes` label bytes are the label; the inverse of [`parse`].
/// `pixels` holds one image of [`SHAPE`] for each of `labels`.
#[must_use]
pub fn write(labels: &[u8], pixels: &[u8], label_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(labels.len() * (label_bytes + PIXELS));
    for (&label, image) in labels.iter().zip(pixels.chunks_exact(PIXELS)) {
        bytes.extend(std::iter::repeat_n(label, label_bytes));
        bytes.extend_from_slice(image);
    }
    bytes
}

impl<'a> Cifar<'a> {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len() / (self.label_bytes + PIXELS)
    }

    /// Whether there are no images, which [`parse`] refuses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The images of the file, each as its class and its pixels `[3, 32, 32]`.
    pub fn images(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let label_bytes = self.label_bytes;
        self.records
            .chunks_exact(label_bytes + PIXELS)
            .map(move |record| {
                let (labels, pixels) = record.split_at(label_bytes);
                (labels.last().copied().unwrap_or_default(), pixels)
            })
    }
}

/// The end of an error message. If the length fits a file of the other dataset, which is the common mistake, it names
/// that dataset; otherwise it is empty.
fn hint(found: usize, record: usize) -> &'static str {
    let other = if record == PIXELS + 1 { 2 } else { 1 };
    match (found.is_multiple_of(PIXELS + other), other) {
        (true, 2) => " (it would be a file of CIFAR-100)",
        (true, _) => " (it would be a file of CIFAR-10)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_class_is_the_last_label_and_pixels_are_planes() {
        let mut bytes = vec![9, 42];
        bytes.extend((0..PIXELS).map(|i| (i / 1024) as u8));
        let file = parse(&bytes, 2).unwrap();
        assert_eq!(file.len(), 1);
        let (class, pixels) = file.images().next().unwrap();
        assert_eq!((class, pixels.len()), (42, PIXELS));
        assert_eq!((pixels[0], pixels[1024], pixels[3071]), (0, 1, 2));
    }

    #[test]
    fn lengths_that_do_not_fit_are_named() {
        let message = |length, label_bytes| {
            parse(&vec![0; length], label_bytes)
                .map(|file| file.len())
                .map_err(|error| error.to_string())
        };
        assert_eq!(message(3073 * 2, 1), Ok(2));
        let truncated = message(3073 * 2 - 1, 1).unwrap_err();
        assert!(
            truncated.starts_with(
                "expected records of 3073 bytes (1 of labels, 3072 of pixels), found 6145 bytes"
            ),
            "{truncated}"
        );
        let other = message(3074, 1).unwrap_err();
        assert!(other.contains("it would be a file of CIFAR-100"), "{other}");
        let other = message(3073 * 5, 2).unwrap_err();
        assert!(other.contains("it would be a file of CIFAR-10)"), "{other}");
        let empty = message(0, 1).unwrap_err();
        assert_eq!(empty, "the file is empty: expected records of 3073 bytes");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..4 * 3074), label_bytes in 0usize..4,
        ) {
            if let Ok(file) = parse(&bytes, label_bytes) {
                prop_assert_eq!(file.images().count(), file.len());
                prop_assert!(file.images().all(|(_, pixels)| pixels.len() == PIXELS));
            }
        }

        #[test]
        fn what_is_written_parses(
            labels in prop::collection::vec(any::<u8>(), 1..4), label_bytes in 1usize..3, fill: u8,
        ) {
            let pixels: Vec<u8> = (0..labels.len() * PIXELS).map(|i| fill.wrapping_add(i as u8)).collect();
            let bytes = write(&labels, &pixels, label_bytes);
            let file = parse(&bytes, label_bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let (again, planes): (Vec<u8>, Vec<&[u8]>) = file.images().unzip();
            prop_assert_eq!(again, labels);
            prop_assert_eq!(planes.concat(), pixels);
        }
    }
}
