//! Class prototypes: initial class embeddings that are chosen among the training images (paper §2.2.1).

use burn::module::Module;
use burn::tensor::Tensor;
use noprop_core::NoProp;
use noprop_core::embedding::{ClassEmbeddingConfig, PrototypeSource};
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_data::{DeviceSplit, Split};

/// The number of images per class among which `noprop_simple.py` looks for a prototype.
const CANDIDATES: usize = 10;
/// The number of images that go through the backbone together.
const BATCH: usize = 500;

/// Gives `model` class embeddings that are prototypes, if its configuration asks for them. `split` holds the training
/// images, and `on_device` the same images on the autodiff device.
pub(crate) fn initialise(
    model: NoProp,
    split: &Split,
    on_device: &DeviceSplit,
    seed: u64,
) -> NoProp {
    let ClassEmbeddingConfig::Prototype { source } = model.config().class_embedding else {
        return model;
    };
    let classes = model.config().classes;
    let mut values = Vec::new();
    for class in 0..classes {
        let members: Vec<usize> = (0..split.len())
            .filter(|&i| usize::from(split.labels[i]) == class)
            .collect();
        let rows = match source {
            PrototypeSource::Image => rows(&members, |batch| {
                on_device.batch(batch).0.inner().flatten::<2>(1, 3)
            }),
            PrototypeSource::RandomFeatures => {
                let mut source = NoiseSource::new(seed, Purpose::Initialising, 2 + class as u64);
                let order = source.permutation(members.len());
                let chosen: Vec<usize> =
                    order.iter().take(CANDIDATES).map(|&i| members[i]).collect();
                let untrained = model.valid();
                rows(&chosen, |batch| {
                    untrained.features(on_device.batch(batch).0.inner()).values
                })
            }
        };
        values.extend(medoid(rows));
    }
    model.with_class_embeddings(values)
}

/// The rows `[n, d]` that `embed` computes for the images at `indices`, in batches.
fn rows(indices: &[usize], embed: impl Fn(&[usize]) -> Tensor<2>) -> Tensor<2> {
    Tensor::cat(indices.chunks(BATCH).map(embed).collect(), 0)
}

/// The row of `[n, d]` with the smallest median distance to all rows (paper §2.2.1).
fn medoid(rows: Tensor<2>) -> Vec<f32> {
    let [n, d] = rows.dims();
    let values = rows.clone().into_data().iter::<f32>().collect::<Vec<_>>();
    let norms = rows.clone().square().sum_dim(1);
    let squared =
        norms.clone() + norms.transpose() - rows.clone().matmul(rows.transpose()).mul_scalar(2.0);
    let squared = squared.into_data().iter::<f32>().collect::<Vec<_>>();
    let best = (0..n)
        .map(|i| {
            let mut row = squared[i * n..(i + 1) * n].to_vec();
            // The median of the squares is at the same place as the median of the distances.
            *row.select_nth_unstable_by(n.saturating_sub(1) / 2, f32::total_cmp)
                .1
        })
        .enumerate()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0, |(i, _)| i);
    values[best * d..(best + 1) * d].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_medoid_is_central_and_ignores_outliers() {
        let points = [[9.0, 9.0], [0.0, 0.0], [0.1, 0.0], [-0.1, 0.0], [0.0, 0.3]];
        let rows = Tensor::from_data(points, &Device::flex());
        assert_eq!(medoid(rows), [0.0, 0.0]);
    }
}
