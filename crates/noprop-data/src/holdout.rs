//! Images held out of the training images for validation.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::Split;

/// Holds out `count` images of `split` for validation; returns (training, validation).
///
/// Each of the `classes` gives its share of `count` (largest remainder), chosen at random with `seed`.
/// Both parts keep the order of `split`. A `count` above the number of images takes all of them.
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
        shuffle(indices, &mut rng);
        for &index in &indices[..share] {
            held_out[index] = true;
        }
    }
    let (validation, train): (Vec<_>, Vec<_>) = (0..split.len()).partition(|&i| held_out[i]);
    (split.select(&train), split.select(&validation))
}

/// Shuffles `items` with the shuffle of the crate `rand`.
///
/// This order decides which images are held out, and in which order those of a folder are trained; all
/// recorded results rest on it. `NoiseSource::permutation` in `noprop-core` gives another order, and would
/// hold out other images. A test below records the order, so that it fails with a version of `rand` that
/// shuffles otherwise.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    items.shuffle(rng);
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

    #[test]
    fn the_order_of_a_shuffle_never_changes() {
        // Recorded with rand 0.10.4. Other numbers here mean other validation images in every run.
        let mut order: Vec<usize> = (0..1000).collect();
        shuffle(&mut order, &mut ChaCha8Rng::seed_from_u64(7));
        assert_eq!(order[..8], [524, 606, 615, 132, 25, 822, 612, 823]);

        let labels: Vec<u16> = (0..40).map(|i| i % 4).collect();
        for (seed, held_out) in [
            (0, [1, 2, 5, 8, 10, 17, 24, 31, 32, 35]),
            (1, [3, 5, 6, 12, 20, 30, 31, 32, 33, 37]),
        ] {
            // The pixel of an image is its index.
            let (_, validation) = holdout(&numbered(&labels), 10, 4, seed);
            assert_eq!(validation.images, held_out);
        }
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
            // Every class is within one image of its exact share.
            let total = split.len().max(1) as f64;
            let taken = validation.class_counts(6);
            for (taken, size) in taken.into_iter().zip(split.class_counts(6)) {
                let exact = size as f64 * validation.len() as f64 / total;
                prop_assert!((taken as f64 - exact).abs() < 1.0);
            }
        }
    }
}
