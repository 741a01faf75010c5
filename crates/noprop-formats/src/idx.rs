//! IDX, the format of MNIST: an array of unsigned bytes.
//!
//! A file is two zero bytes, the type code 8 (unsigned bytes), the number of axes, the length of each axis
//! as a big-endian `u32`, then the data, row-major.

/// A parsed file of unsigned bytes with `RANK` axes, which borrows the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idx<'a, const RANK: usize> {
    /// Length of each axis.
    pub dims: [usize; RANK],
    /// The data, row-major: exactly as many bytes as `dims` multiply to.
    pub data: &'a [u8],
}

/// Bytes that are not the expected IDX file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdxError {
    /// The bytes end within the header.
    #[error(
        "expected an IDX header of {expected} bytes, found {found} bytes: the file is truncated"
    )]
    ShortHeader {
        /// Length of the header.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The first four bytes are those of another kind of file.
    #[error(
        "expected the IDX magic number {expected:#010x} (unsigned bytes, {rank} axes), found \
         {found:#010x}: it is another kind of file{hint}"
    )]
    Magic {
        /// Number of axes expected.
        rank: usize,
        /// Magic number expected, the first four bytes as a big-endian `u32`.
        expected: u32,
        /// Magic number found.
        found: u32,
        /// The kind of file that starts with the number found, in brackets after a space, or nothing.
        hint: &'static str,
    },
    /// The axes multiply to more bytes than memory can hold.
    #[error("the IDX header announces an impossible size, {dims:?}: the file is damaged")]
    Size {
        /// Length of each axis as announced.
        dims: Vec<usize>,
    },
    /// The header is followed by fewer or more bytes than announced.
    #[error(
        "the IDX header announces {dims:?} = {expected} bytes, found {found}: the file is {}",
        if found < expected { "truncated" } else { "longer than it should be" }
    )]
    Length {
        /// Length of each axis as announced.
        dims: Vec<usize>,
        /// Bytes announced.
        expected: usize,
        /// Bytes that follow the header.
        found: usize,
    },
}

/// Parses an IDX file of unsigned bytes with `RANK` axes: 3 for images `[n, h, w]`, 1 for labels `[n]`.
///
/// No memory is allocated; the axes in the header are compared with the number of bytes.
///
/// # Errors
/// [`IdxError::ShortHeader`], [`IdxError::Magic`] for another kind of file, and [`IdxError::Size`] or
/// [`IdxError::Length`] when the header announces another number of bytes than there are.
pub fn parse<const RANK: usize>(bytes: &[u8]) -> Result<Idx<'_, RANK>, IdxError> {
    let (words, _) = bytes.as_chunks::<4>();
    let short = IdxError::ShortHeader {
        expected: header_len(RANK),
        found: bytes.len(),
    };
    let Some((&first, axes)) = words.split_first() else {
        return Err(short);
    };
    let found = u32::from_be_bytes(first);
    if found != magic(RANK) {
        return Err(IdxError::Magic {
            rank: RANK,
            expected: magic(RANK),
            found,
            hint: hint(found),
        });
    }
    let Some(axes) = axes.first_chunk::<RANK>() else {
        return Err(short);
    };
    let dims = axes.map(|axis| u32::from_be_bytes(axis) as usize);
    let data = &bytes[header_len(RANK)..];
    let Some(expected) = dims
        .iter()
        .try_fold(1usize, |size, &axis| size.checked_mul(axis))
    else {
        return Err(IdxError::Size {
            dims: dims.to_vec(),
        });
    };
    if data.len() != expected {
        return Err(IdxError::Length {
            dims: dims.to_vec(),
            expected,
            found: data.len(),
        });
    }
    Ok(Idx { dims, data })
}

/// Writes an IDX file of unsigned bytes with the axes `dims`; the inverse of [`parse`].
///
/// # Errors
/// [`IdxError::Length`] when `data` is not as long as `dims` multiply to, and [`IdxError::Size`] when an axis
/// or the product exceeds its integer type.
pub fn write<const RANK: usize>(dims: [usize; RANK], data: &[u8]) -> Result<Vec<u8>, IdxError> {
    let expected = dims
        .iter()
        .try_fold(1usize, |size, &axis| size.checked_mul(axis));
    let axes: Option<Vec<u32>> = dims.iter().map(|&axis| u32::try_from(axis).ok()).collect();
    let (Some(expected), Some(axes)) = (expected, axes) else {
        return Err(IdxError::Size {
            dims: dims.to_vec(),
        });
    };
    if data.len() != expected {
        return Err(IdxError::Length {
            dims: dims.to_vec(),
            expected,
            found: data.len(),
        });
    }
    let mut bytes = Vec::with_capacity(header_len(RANK) + data.len());
    bytes.extend(magic(RANK).to_be_bytes());
    bytes.extend(axes.into_iter().flat_map(u32::to_be_bytes));
    bytes.extend_from_slice(data);
    Ok(bytes)
}

/// First four bytes of a file with `rank` axes; 8 is the type code of unsigned bytes.
const fn magic(rank: usize) -> u32 {
    0x0800 | rank as u32
}

const fn header_len(rank: usize) -> usize {
    4 * (1 + rank)
}

/// The end of an error message: the kind of file that starts with the number `found`, for common mistakes.
const fn hint(found: u32) -> &'static str {
    match found {
        0x0801 => " (labels)",
        0x0803 => " (images)",
        // The first bytes of gzip are 1f 8b 08.
        0x1f8b_0800..=0x1f8b_08ff => " (still compressed)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two images of 1×3.
    const IMAGES: [u8; 22] = [
        0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 11, 12, 13, 14, 15,
    ];

    #[test]
    fn images_parse() {
        assert_eq!(
            parse::<3>(&IMAGES),
            Ok(Idx {
                dims: [2, 1, 3],
                data: &IMAGES[16..]
            })
        );
    }

    #[test]
    fn a_truncated_file_says_so() {
        let message = |bytes| parse::<3>(bytes).map_err(|error| error.to_string());
        assert_eq!(
            message(&IMAGES[..20]),
            Err(
                "the IDX header announces [2, 1, 3] = 6 bytes, found 4: the file is truncated"
                    .to_owned()
            )
        );
        for length in [0, 3, 4, 15] {
            let message = message(&IMAGES[..length]).err().unwrap_or_default();
            assert!(
                message.starts_with("expected an IDX header of 16 bytes"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_longer_file_says_so() {
        let longer = [&IMAGES[..], &[0]].concat();
        let message = parse::<3>(&longer).map_err(|error| error.to_string());
        assert!(message.is_err_and(|text| text.ends_with("longer than it should be")));
    }

    #[test]
    fn a_wrong_magic_number_says_what_was_found() {
        assert_eq!(
            parse::<1>(&IMAGES).map_err(|error| error.to_string()),
            Err(
                "expected the IDX magic number 0x00000801 (unsigned bytes, 1 axes), found \
                 0x00000803: it is another kind of file (images)"
                    .to_owned()
            )
        );
        let gzip = parse::<3>(&[0x1f, 0x8b, 8, 0, 0]).map_err(|error| error.to_string());
        assert!(gzip.is_err_and(|text| text.ends_with("(still compressed)")));
    }

    #[test]
    fn a_header_of_any_size_allocates_nothing() {
        let mut bytes = vec![0, 0, 8, 3];
        bytes.extend([0xff; 12]);
        assert!(matches!(parse::<3>(&bytes), Err(IdxError::Size { .. })));
        bytes[8..].fill(0);
        assert!(matches!(parse::<3>(&bytes), Ok(Idx { data: &[], .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), rank in 0u8..4) {
            let _ = parse::<3>(&bytes);
            let with_magic = [&[0, 0, 8, rank], &bytes[..]].concat();
            let _ = parse::<0>(&with_magic);
            let _ = parse::<1>(&with_magic);
            let _ = parse::<2>(&with_magic);
            let _ = parse::<3>(&with_magic);
        }

        #[test]
        fn what_is_written_parses(n in 0usize..4, h in 0usize..5, w in 0usize..5, fill: u8) {
            let data = vec![fill; n * h * w];
            let bytes = write([n, h, w], &data).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(parse::<3>(&bytes), Ok(Idx { dims: [n, h, w], data: &data }));
            prop_assert!(write([n + 1, h + 1, w + 1], &data).is_err());
        }
    }
}
