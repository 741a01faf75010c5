//! Typed errors about data. Each message is one sentence: what was expected, what was found, and what to
//! do.

use std::fmt::Display;
use std::io;

use crate::formats::cifar::CifarError;
use crate::formats::idx::IdxError;

/// Everything that can go wrong while data is found, read and checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Another error, and the file, folder or address in which it was found.
    #[error("{place}: {problem}")]
    At {
        /// Path or URL.
        place: String,
        /// The error itself.
        problem: Box<DataError>,
    },

    /// The bytes are not the expected IDX file.
    #[error(transparent)]
    Idx(#[from] IdxError),

    /// The bytes are not the expected file in CIFAR's binary format.
    #[error(transparent)]
    Cifar(#[from] CifarError),

    /// There are more or fewer pixels than those of one image for each label.
    #[error("expected {expected} bytes of pixels for {labels} labelled images, found {found}")]
    PixelCount {
        /// Labels given.
        labels: usize,
        /// Bytes of that many images.
        expected: usize,
        /// Bytes given.
        found: usize,
    },

    /// An image shape with a zero, or with more pixels than can be addressed.
    #[error("the image shape {shape:?} (channels, height, width) has no valid size")]
    EmptyShape {
        /// The shape given, `[c, h, w]`.
        shape: [usize; 3],
    },

    /// A file of labels holds more or fewer of them than the file of images holds images.
    #[error(
        "expected {images} labels, one for each image in {images_place}, found {labels}: \
         take both files from the same dataset"
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

    /// No image where at least one is needed.
    #[error("found no image, expected at least one")]
    NoImages,

    /// Images of another shape than those of the dataset.
    #[error("expected images of {expected:?} (channels, height, width), found {found:?}")]
    Shape {
        /// Shape of the images of the dataset, `[c, h, w]`.
        expected: [usize; 3],
        /// Shape of the images found, `[c, h, w]`.
        found: [usize; 3],
    },

    /// A file or folder does not exist, or a folder lacks the expected files.
    #[error("not found; expected {expected}")]
    Missing {
        /// The expected file, folder or files, in words.
        expected: String,
    },

    /// A directory, socket or device in place of a file.
    #[error("is {found}, expected a file: give the path of the file itself")]
    NotAFile {
        /// "a directory" or "not a regular file".
        found: &'static str,
    },

    /// The operating system denies access.
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

    /// A gzip stream that cannot be decompressed.
    #[error("the gzip data is damaged ({problem}): download the file again")]
    Gzip {
        /// The decoder's message.
        problem: io::Error,
    },

    /// A `.tar.gz` that is damaged, or that lacks a file of the dataset.
    #[error("the archive {why}: download it again")]
    Archive {
        /// The problem, as the end of the sentence.
        why: String,
    },

    /// A file, or an image in it, that takes more memory than a file of a dataset should.
    #[error("holds more than the limit of {limit} bytes: check that it is the right file")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },

    /// A downloaded or cached file is not, byte for byte, the published one.
    #[error(
        "its MD5 checksum is {found}, expected {expected}: the file is damaged and is not used"
    )]
    Checksum {
        /// Published checksum, lower-case hexadecimal.
        expected: String,
        /// Checksum of the file.
        found: String,
    },

    /// A well-formed file in the user's folder that is not the published one.
    #[error("its MD5 checksum is {found}, but the official file has {expected}: download it again")]
    Unofficial {
        /// Published checksum, lower-case hexadecimal.
        expected: String,
        /// Checksum of the file.
        found: String,
    },

    /// Well-formed files in the user's folder that hold more or fewer images than the published ones.
    #[error(
        "holds {found} images with the files beside it, but the official dataset has {expected}: \
         take all official files"
    )]
    Incomplete {
        /// Images published.
        expected: usize,
        /// Images found.
        found: usize,
    },

    /// Neither the cache nor any other source has the dataset.
    #[error(
        "{name} is not in the cache, and {}: put {downloads} (from {home}) into {folder}, or read it \
         from a folder that holds {files}",
        if *.offline { "downloads are turned off" } else { "no mirror gave it" }
    )]
    Unavailable {
        /// Name of the dataset.
        name: &'static str,
        /// Whether downloads are turned off ([`crate::LoadOptions::offline`]).
        offline: bool,
        /// Names of the files on the mirrors.
        downloads: String,
        /// Web page of the dataset.
        home: &'static str,
        /// The cache folder.
        folder: String,
        /// Names of the files, decompressed.
        files: String,
    },

    /// No connection, or no answer.
    #[error("cannot be reached ({why}): check the network")]
    Unreachable {
        /// The HTTP client's message.
        why: String,
    },

    /// The server answered without the file.
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
        /// The HTTP client's message.
        why: String,
    },

    /// `npm pack` gave no package.
    #[error("npm gave no package: {why}")]
    Npm {
        /// The first line that npm wrote, or what is wrong with the package.
        why: String,
    },

    /// An image file that cannot be decoded.
    #[error("cannot be read as a PNG, JPEG, WebP or BMP image: {why}")]
    Image {
        /// The decoder's message.
        why: String,
    },

    /// A folder of images that is no dataset.
    #[error(transparent)]
    Folder(#[from] FolderError),

    /// Another number of channels than an image file can be decoded to.
    #[error("image files are read with 1 channel (grey) or 3 (RGB), not with {channels}")]
    Channels {
        /// Channels asked for.
        channels: usize,
    },
}

/// The reason why a folder of images is no dataset.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A folder whose name cannot name a class, since it is not valid UTF-8.
    #[error("the name of this folder would name a class, but it is not valid UTF-8: rename it")]
    ClassName,

    /// Fewer than two class folders.
    #[error(
        "holds {found} class folder{}, expected at least 2: images belong into train/CLASS and \
         test/CLASS, or into CLASS alone, as .png, .jpg, .jpeg, .webp or .bmp",
        if *.found == 1 { "" } else { "s" }
    )]
    TooFewClasses {
        /// Class folders found.
        found: usize,
    },

    /// More class folders than a `u16` label can number.
    #[error("holds {found} class folders, expected at most {limit}")]
    TooManyClasses {
        /// Class folders found.
        found: usize,
        /// The limit.
        limit: usize,
    },

    /// A folder without a readable image.
    #[error(
        "holds no readable image (.png, .jpg, .jpeg, .webp or .bmp): add some, or remove the folder"
    )]
    EmptyClass,

    /// A folder of test images for a class that has no training images.
    #[error(
        "names no class of the training images (their classes are {known}): rename or remove the \
         folder"
    )]
    UnknownClass {
        /// Names of the classes with training images.
        known: String,
    },

    /// A share to hold out that is not between 0 and 1.
    #[error("the share of images to hold out for testing is {found}, expected above 0 and below 1")]
    Holdout {
        /// The share given.
        found: f64,
    },

    /// No image of a class is left for training.
    #[error(
        "no training image of class {class} remains after a share of {share} is held out for \
         testing: add images or hold out less"
    )]
    NoneLeft {
        /// The class.
        class: String,
        /// The share held out.
        share: f64,
    },
}

impl DataError {
    /// This error, found in `place`.
    #[must_use]
    pub fn at(self, place: impl Display) -> Self {
        Self::At {
            place: place.to_string(),
            problem: Box::new(self),
        }
    }

    /// The error itself, without the places in which it was found.
    #[must_use]
    pub fn problem(&self) -> &Self {
        match self {
            Self::At { problem, .. } => problem.problem(),
            other => other,
        }
    }

    /// Turns an error of the file system into the variant that tells the user what to do; `action` is
    /// "read" or "write".
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
