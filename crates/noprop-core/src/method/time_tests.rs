//! Tests of the times of a batch, as the losses get them.

use burn::tensor::{Device, Tensor};

use super::*;
use crate::noise::{NoiseSource, Purpose};

/// The number of rows of a batch: a power of two, so that the borders of the parts are exact in f32.
const ROWS: usize = 16;
const BATCHES: u64 = 3200;

/// The times of the batch number `counter`, in two shards.
fn shards(time_sampling: TimeSampling, counter: u64) -> [Vec<f64>; 2] {
    let method = Method::Ct(Ct {
        time_sampling,
        // Two rows for each image.
        draws: 2,
        ..Default::default()
    });
    let mut source = NoiseSource::new(3, Purpose::Training, counter);
    let draws = HostDraws::new(&mut source, ROWS / 2, 2, &method);
    let times = |t: Tensor<2>| t.into_data().iter::<f64>().collect();
    [0..ROWS / 4, ROWS / 4..ROWS / 2].map(|rows| times(draws.upload(rows, &Device::flex()).t))
}

/// One time in each of n equal parts, whatever is drawn. The test fails where the uniform number within a part is
/// multiplied by 2/n.
#[test]
fn stratified_times_have_exactly_one_in_each_part() {
    for counter in 0..BATCHES {
        let times = shards(TimeSampling::Stratified, counter).concat();
        let mut parts: Vec<usize> = times.iter().map(|t| (t * ROWS as f64) as usize).collect();
        parts.sort_unstable();
        assert_eq!(parts, (0..ROWS).collect::<Vec<_>>(), "{times:?}");
    }
}

/// Each row visits each part equally often, so no image and no shard is tied to a part of [0, 1]. The test fails
/// where row i always has part i.
#[test]
fn the_part_of_a_row_does_not_depend_on_its_place() {
    let mut visits = [[0_u32; ROWS]; ROWS];
    let mut means = [0.0; 2];
    for counter in 0..BATCHES {
        let halves = shards(TimeSampling::Stratified, counter);
        for (mean, half) in means.iter_mut().zip(&halves) {
            *mean += half.iter().sum::<f64>() / (half.len() as f64 * BATCHES as f64);
        }
        for (row, t) in halves.concat().into_iter().enumerate() {
            visits[row][(t * ROWS as f64) as usize] += 1;
        }
    }
    let expected = BATCHES as f64 / ROWS as f64;
    for (row, visits) in visits.iter().enumerate() {
        let deviation = |&visits: &u32| (f64::from(visits) - expected).powi(2) / expected;
        let chi_squared: f64 = visits.iter().map(deviation).sum();
        // With 15 degrees of freedom 50 is exceeded with probability 1e-5.
        assert!(chi_squared < 50.0, "row {row}: {visits:?}, {chi_squared}");
    }
    for mean in means {
        // The mean of half of the parts, drawn without replacement, has a variance of 1/(12·8)·8/15 or less.
        let deviation = (1.0 / (12.0 * 15.0) / BATCHES as f64).sqrt();
        assert!((mean - 0.5).abs() < 4.0 * deviation, "{means:?}");
    }
}

/// Rows 2i and 2i + 1 have the times t and 1 − t, and t is uniform. The test fails where row 2i + 1 takes a number
/// of its own.
#[test]
fn antithetic_times_sum_to_one_in_pairs() {
    let mut mean_square = 0.0;
    for counter in 0..BATCHES {
        let times = shards(TimeSampling::Antithetic, counter).concat();
        for pair in times.chunks(2) {
            // Times have 24 bits, so 1 − t is exact.
            assert_eq!(pair[0] + pair[1], 1.0);
            mean_square += pair[0] * pair[0] / (BATCHES as f64 * (ROWS / 2) as f64);
        }
    }
    // The variance of t² is 4/45; there are 25,600 pairs.
    let deviation = (4.0 / 45.0 / (BATCHES as f64 * (ROWS / 2) as f64)).sqrt();
    assert!(
        (mean_square - 1.0 / 3.0).abs() < 4.0 * deviation,
        "{mean_square}"
    );
}
