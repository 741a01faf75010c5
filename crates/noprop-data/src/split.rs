//! Labelled images in memory: from pixels, or from the bytes of a file.

use crate::DataError;
use crate::formats::{cifar, idx};

/// Labelled images of one shape, pixels as stored (0 to 255).
///
/// [`Split::new`] checks that the parts fit together; code that changes the fields must keep this true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Pixels `[n, c, h, w]`, row-major.
    pub images: Vec<u8>,
    /// Class of each image, `[n]`.
    pub labels: Vec<u16>,
    /// Shape of one image: channels, height, width.
    pub shape: [usize; 3],
}

impl Split {
    /// Puts labelled images together. `images` are pixels `[n, c, h, w]`, row-major, of the `shape`
    /// `[c, h, w]`; `labels` are `[n]`, each below `classes`.
    ///
    /// # Errors
    /// [`DataError::EmptyShape`] for a shape with a zero, [`DataError::PixelCount`] when the pixels are
    /// not those of `labels.len()` images, and [`DataError::LabelOutOfRange`] for a label that is not
    /// below `classes`.
    pub fn new(
        images: Vec<u8>,
        labels: Vec<u16>,
        shape: [usize; 3],
        classes: usize,
    ) -> Result<Self, DataError> {
        let split = Self {
            images,
            labels,
            shape,
        };
        split.check(classes)?;
        Ok(split)
    }

    /// Parses the two IDX files of a split in MNIST's format: images `[n, h, w]` of one channel, and labels `[n]`, each
    /// below `classes`. Both files must be decompressed.
    ///
    /// # Errors
    /// When the bytes are no such IDX files, when there is no image or another number of labels than of images, or when
    /// a label is not below `classes`. Each error says which of the two files it is about.
    pub fn from_idx(images: &[u8], labels: &[u8], classes: usize) -> Result<Self, DataError> {
        Self::from_idx_at(
            ("the image file", images),
            ("the label file", labels),
            classes,
        )
    }

    /// Parses the two IDX files like [`Split::from_idx`]; errors name the place of the file that they are about.
    pub(crate) fn from_idx_at(
        (images_place, images): (&str, &[u8]),
        (labels_place, labels): (&str, &[u8]),
        classes: usize,
    ) -> Result<Self, DataError> {
        let images = idx::parse::<3>(images).map_err(|e| DataError::from(e).at(images_place))?;
        let labels = idx::parse::<1>(labels).map_err(|e| DataError::from(e).at(labels_place))?;
        let ([count, height, width], [label_count]) = (images.dims, labels.dims);
        if count == 0 {
            return Err(DataError::NoImages.at(images_place));
        }
        if label_count != count {
            let error = DataError::CountsDiffer {
                images_place: images_place.to_owned(),
                images: count,
                labels: label_count,
            };
            return Err(error.at(labels_place));
        }
        let labels = labels.data.iter().copied().map(u16::from).collect();
        Self::new(images.data.to_vec(), labels, [1, height, width], classes)
            .map_err(|error| error.at(labels_place))
    }

    /// Parses a file in CIFAR's binary format: records of `label_bytes` label bytes, of which the last
    /// is the class, and an image `[3, 32, 32]`.
    ///
    /// # Errors
    /// [`DataError::Cifar`] when the bytes are not a whole number of records or none at all, and
    /// [`DataError::LabelOutOfRange`] for a class that is not below `classes`.
    pub fn from_cifar(
        records: &[u8],
        label_bytes: usize,
        classes: usize,
    ) -> Result<Self, DataError> {
        let file = cifar::parse(records, label_bytes)?;
        let (labels, images): (Vec<u16>, Vec<&[u8]>) = file
            .images()
            .map(|(label, pixels)| (u16::from(label), pixels))
            .unzip();
        Self::new(images.concat(), labels, cifar::SHAPE, classes)
    }

    /// Checks that the fields fit together, for [`Split::new`].
    pub(crate) fn check(&self, classes: usize) -> Result<(), DataError> {
        let shape = self.shape;
        let bytes = |count: usize| {
            let mut axes = shape.iter();
            axes.try_fold(count, |size, &axis| size.checked_mul(axis))
        };
        let valid = bytes(1).is_some_and(|size| size > 0);
        let (true, Some(expected)) = (valid, bytes(self.labels.len())) else {
            return Err(DataError::EmptyShape { shape });
        };
        if self.images.len() != expected {
            return Err(DataError::PixelCount {
                labels: self.labels.len(),
                expected,
                found: self.images.len(),
            });
        }
        let is_wrong = |&label: &u16| usize::from(label) >= classes;
        match self.labels.iter().position(is_wrong) {
            Some(index) => Err(DataError::LabelOutOfRange {
                index,
                label: self.labels[index],
                classes,
            }),
            None => Ok(()),
        }
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Pixels of image `index`, `[c, h, w]`.
    ///
    /// # Panics
    /// When `index` is not below [`Split::len`].
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.image_size();
        &self.images[index * size..(index + 1) * size]
    }

    /// Copies the images at `indices`, in that order; an index may repeat.
    ///
    /// # Panics
    /// When an index is not below [`Split::len`].
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut images = Vec::with_capacity(indices.len() * self.image_size());
        for &index in indices {
            images.extend_from_slice(self.image(index));
        }
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Self {
            images,
            labels,
            shape: self.shape,
        }
    }

    /// Copies the first `count` images, or all when there are fewer.
    #[must_use]
    pub fn take(&self, count: usize) -> Self {
        let count = count.min(self.len());
        Self {
            images: self.images[..count * self.image_size()].to_vec(),
            labels: self.labels[..count].to_vec(),
            shape: self.shape,
        }
    }

    /// Number of images of each class, `[classes]`; labels that are not below `classes` count
    /// nowhere.
    #[must_use]
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(usize::from(label)) {
                *count += 1;
            }
        }
        counts
    }

    /// Bytes of one image.
    fn image_size(&self) -> usize {
        self.shape.iter().product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One-pixel images whose pixel is their position.
    fn numbered(labels: &[u16]) -> Split {
        Split {
            images: (0..labels.len()).map(|i| i as u8).collect(),
            labels: labels.to_vec(),
            shape: [1, 1, 1],
        }
    }

    #[test]
    fn new_refuses_parts_that_do_not_fit() {
        let problem = |images, labels, shape| Split::new(images, labels, shape, 10).err();
        assert!(problem(vec![0; 8], vec![0, 9], [1, 2, 2]).is_none());
        assert!(problem(vec![], vec![], [1, 2, 2]).is_none());
        assert!(matches!(
            problem(vec![0; 7], vec![0, 9], [1, 2, 2]),
            Some(DataError::PixelCount {
                labels: 2,
                expected: 8,
                found: 7
            })
        ));
        assert!(matches!(
            problem(vec![0; 8], vec![0, 10], [1, 2, 2]),
            Some(DataError::LabelOutOfRange {
                index: 1,
                label: 10,
                classes: 10
            })
        ));
        for shape in [[1, 0, 2], [usize::MAX, 2, 2], [usize::MAX / 2, 1, 1]] {
            let labels = vec![0; 4];
            assert!(matches!(
                problem(vec![], labels, shape),
                Some(DataError::EmptyShape { .. })
            ));
        }
    }

    #[test]
    fn select_and_take_copy_images_with_their_labels() {
        let split = numbered(&[5, 6, 7]);
        assert_eq!(split.image(2), [2]);
        let picked = split.select(&[2, 0, 2]);
        assert_eq!(
            (picked.images, picked.labels),
            (vec![2, 0, 2], vec![7, 5, 7])
        );
        assert_eq!(split.take(2), numbered(&[5, 6]));
        assert_eq!(split.take(9), split);
        assert!(split.take(0).is_empty());
        assert_eq!(split.class_counts(7), [0, 0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn files_that_do_not_fit_name_images_or_labels() {
        let images = idx::write([2, 1, 3], &[1, 2, 3, 4, 5, 6]).unwrap();
        let labels = |labels: &[u8]| idx::write([labels.len()], labels).unwrap();
        let split = Split::from_idx(&images, &labels(&[1, 0]), 2).unwrap();
        assert_eq!((split.shape, split.image(1)), ([1, 1, 3], &[4, 5, 6][..]));
        assert_eq!(split.labels, [1, 0]);

        let problem = |images: &[u8], labels: &[u8]| {
            let split = Split::from_idx(images, labels, 2);
            split.unwrap_err().to_string()
        };
        for (problem, start) in [
            (
                problem(&images[..9], &labels(&[1, 0])),
                "the image file: expected an IDX header",
            ),
            (
                problem(&images, &images),
                "the label file: expected the IDX magic number",
            ),
            (
                problem(&images, &labels(&[1])),
                "the label file: expected 2 labels, one for each image in the image file, found 1",
            ),
            (
                problem(&images, &labels(&[1, 2])),
                "the label file: label 2",
            ),
        ] {
            assert!(problem.starts_with(start), "{problem}");
        }

        let records = cifar::write(&[3], &[9; 3072], 2);
        assert_eq!(
            Split::from_cifar(&records, 2, 4).unwrap().image(0),
            [9; 3072]
        );
        assert!(matches!(
            Split::from_cifar(&records, 2, 3),
            Err(DataError::LabelOutOfRange { label: 3, .. })
        ));
        assert!(matches!(
            Split::from_cifar(&records[1..], 2, 4),
            Err(DataError::Cifar(_))
        ));
    }
}
