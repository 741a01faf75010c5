//! Labelled images in memory, and the seeded split into training and validation.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::DataError;

/// Labelled images of one shape, pixels as stored (0 to 255).
///
/// [`Split::new`] checks that the parts fit together; whoever changes the fields keeps that true.
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
    /// Checks the parts and puts them together.
    ///
    /// # Errors
    /// A shape with a zero, pixels that are not `labels.len()` images of `shape`, or a label that
    /// is not below `classes`.
    pub fn new(
        images: Vec<u8>,
        labels: Vec<u16>,
        shape: [usize; 3],
        classes: usize,
    ) -> Result<Self, DataError> {
        let bytes = |count: usize| {
            shape
                .iter()
                .try_fold(count, |size, &axis| size.checked_mul(axis))
        };
        let valid = bytes(1).is_some_and(|size| size > 0);
        let (true, Some(expected)) = (valid, bytes(labels.len())) else {
            return Err(DataError::EmptyShape { shape });
        };
        if images.len() != expected {
            return Err(DataError::PixelCount {
                labels: labels.len(),
                expected,
                found: images.len(),
            });
        }
        if let Some(index) = labels
            .iter()
            .position(|&label| usize::from(label) >= classes)
        {
            return Err(DataError::LabelOutOfRange {
                index,
                label: labels[index],
                classes,
            });
        }
        Ok(Self {
            images,
            labels,
            shape,
        })
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
    /// As slices do, when `index` is not below [`Split::len`].
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.image_size();
        &self.images[index * size..(index + 1) * size]
    }

    /// Copies the images at `indices`, in that order; an index may repeat.
    ///
    /// # Panics
    /// As slices do, when an index is not below [`Split::len`].
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

/// Holds out `count` images for validation: returns (train, validation).
///
/// Each class gives its share (largest remainder), drawn with `seed`; both parts keep the order of
/// `split`. A `count` above the number of images takes all of them.
#[must_use]
pub fn holdout(split: &Split, count: usize, classes: usize, seed: u64) -> (Split, Split) {
    let mut of_class = vec![Vec::new(); classes];
    for (index, &label) in split.labels.iter().enumerate() {
        if let Some(indices) = of_class.get_mut(usize::from(label)) {
            indices.push(index);
        }
    }
    let sizes: Vec<usize> = of_class.iter().map(Vec::len).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut held_out = vec![false; split.len()];
    for (indices, share) in of_class.iter_mut().zip(shares(&sizes, count)) {
        indices.shuffle(&mut rng);
        for &index in &indices[..share] {
            held_out[index] = true;
        }
    }
    let (validation, train): (Vec<_>, Vec<_>) = (0..split.len()).partition(|&i| held_out[i]);
    (split.select(&train), split.select(&validation))
}

/// Divides `count` among groups in proportion to `sizes`; no share exceeds its group.
fn shares(sizes: &[usize], count: usize) -> Vec<usize> {
    let total: usize = sizes.iter().sum();
    if count >= total {
        return sizes.to_vec();
    }
    // u64: the product overflows the 32-bit usize of wasm32.
    let exact = |size: usize| size as u64 * count as u64;
    let total = total as u64;
    let mut shares: Vec<usize> = sizes
        .iter()
        .map(|&size| (exact(size) / total) as usize)
        .collect();
    let missing = count - shares.iter().sum::<usize>();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|&group| std::cmp::Reverse(exact(sizes[group]) % total));
    for &group in &by_remainder[..missing] {
        shares[group] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn holdout_is_stratified_seeded_and_in_order() {
        let labels: Vec<u16> = (0..100).map(|i| i % 4).collect();
        let split = numbered(&labels);
        let (train, validation) = holdout(&split, 20, 4, 7);
        assert_eq!(validation.class_counts(4), [5; 4]);
        assert_eq!(train.class_counts(4), [20; 4]);
        assert!(train.images.is_sorted() && validation.images.is_sorted());
        assert_eq!(holdout(&split, 20, 4, 7), (train, validation.clone()));
        assert_ne!(holdout(&split, 20, 4, 8).1, validation);
    }

    proptest! {
        #[test]
        fn holdout_loses_nothing(
            labels in prop::collection::vec(0u16..6, 0..200), count in 0usize..250, seed: u64,
        ) {
            let split = numbered(&labels);
            let (train, validation) = holdout(&split, count, 6, seed);
            prop_assert_eq!(validation.len(), count.min(split.len()));
            let mut all = [&train.images[..], &validation.images].concat();
            all.sort_unstable();
            prop_assert_eq!(&all, &split.images);
            // Each class within one image of its exact share.
            let total = split.len().max(1) as f64;
            let taken = validation.class_counts(6);
            for (taken, size) in taken.into_iter().zip(split.class_counts(6)) {
                let exact = size as f64 * validation.len() as f64 / total;
                prop_assert!((taken as f64 - exact).abs() < 1.0);
            }
        }
    }
}
