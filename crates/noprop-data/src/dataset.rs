//! A dataset as a value, the normalisation of its pixels, and the options for reading a folder of images.

use noprop_core::Normalization;
use serde::{Deserialize, Serialize};

use crate::{DataError, Split};

/// A complete dataset in memory.
///
/// [`Dataset::new`] checks that the parts fit together; code that changes the fields must keep this true.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Name of the dataset, for messages and for the card of a weights file.
    pub name: String,
    /// Training images; validation images are held out of them by [`crate::holdout()`].
    pub train: Split,
    /// Test images, for the final evaluation alone.
    pub test: Split,
    /// Class names; a label is a position in this list.
    pub classes: Vec<String>,
    /// Mean and standard deviation by which pixels are normalised for the model.
    pub normalization: Normalization,
}

impl Dataset {
    /// Puts a dataset together. Its normalisation is that of the training images; to use another,
    /// set [`Dataset::normalization`] afterwards.
    ///
    /// # Errors
    /// [`DataError::NoImages`] without a training image, [`DataError::Shape`] when the test images
    /// have another shape than the training images, and [`DataError::LabelOutOfRange`] for a label that
    /// names none of `classes`. Each says whether it is about the training or the test images.
    pub fn new(
        name: impl Into<String>,
        classes: impl IntoIterator<Item = impl Into<String>>,
        train: Split,
        test: Split,
    ) -> Result<Self, DataError> {
        let name = name.into();
        let classes: Vec<String> = classes.into_iter().map(Into::into).collect();
        let training_images = format!("the training images of {name}");
        let test_images = format!("the test images of {name}");
        train
            .check(classes.len())
            .map_err(|error| error.at(&training_images))?;
        test.check(classes.len())
            .map_err(|error| error.at(&test_images))?;
        if train.is_empty() {
            return Err(DataError::NoImages.at(&training_images));
        }
        if test.shape != train.shape {
            let (expected, found) = (train.shape, test.shape);
            return Err(DataError::Shape { expected, found }.at(&test_images));
        }
        Ok(Self {
            name,
            normalization: Normalization::of(&train.images, train.shape),
            train,
            test,
            classes,
        })
    }
}

/// The options for reading a folder of images as a dataset; part of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FolderOptions {
    /// Height and width in pixels that every image is resized to, whatever its aspect ratio; 32×32 when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<[usize; 2]>,
    /// Channels of an image, 1 (grey) or 3 (RGB). When absent: grey if every training image is stored
    /// in grey, else RGB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// Share of the images of each class, between 0 and 1, that is held out for testing if there is no folder of test
    /// images.
    pub holdout: f64,
    /// Refuse a folder with an unreadable image, instead of reporting the image and leaving it out.
    pub strict: bool,
}

impl FolderOptions {
    /// Height and width of an image where none is given: those of CIFAR's images.
    pub const DEFAULT_SIZE: [usize; 2] = [32, 32];
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self {
            image_size: None,
            channels: None,
            holdout: 0.1,
            strict: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grey images of one pixel, all 7, with these labels.
    fn split(labels: &[u16], classes: usize) -> Split {
        Split::new(vec![7; labels.len()], labels.to_vec(), [1, 1, 1], classes).unwrap()
    }

    #[test]
    fn statistics_are_per_channel() {
        let pixels = vec![0, 255, 9, 9, 255, 0, 9, 9];
        let train = Split::new(pixels, vec![0, 1], [2, 1, 2], 2).unwrap();
        let data = Dataset::new("two", ["a", "b"], train.clone(), train).unwrap();
        assert_eq!(data.normalization.mean, [0.5, 9.0 / 255.0]);
        assert_eq!(data.normalization.std, [0.5, 1.0 / 255.0]);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let problem = |train, test| {
            let made = Dataset::new("set", ["a", "b"], train, test);
            made.map(|data| data.classes)
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            problem(split(&[0, 1], 2), split(&[], 2)),
            Ok(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(
            problem(split(&[], 2), split(&[1], 2)),
            Err("the training images of set: found no image, expected at least one".to_owned())
        );
        assert_eq!(
            problem(split(&[0], 2), split(&[1, 2], 3)),
            Err(
                "the test images of set: label 2 of image 1 is out of range: expected 0 to 1 for 2 \
                 classes"
                    .to_owned()
            )
        );
        let wide = Split::new(vec![7; 2], vec![0], [1, 1, 2], 2).unwrap();
        assert_eq!(
            problem(split(&[0], 2), wide),
            Err(
                "the test images of set: expected images of [1, 1, 1] (channels, height, width), \
                 found [1, 1, 2]"
                    .to_owned()
            )
        );
        // Fields are public, so parts can have been changed since they were checked.
        let mut short = split(&[0, 1], 2);
        short.images.pop();
        assert!(problem(short, split(&[0], 2)).is_err());
    }
}
