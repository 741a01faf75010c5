//! Max-pooling over 2×2 pixels and over whole images, each as one operation of the autodiff graph.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::tensor::{CpuTensor, FlexTensor, Planes, TrackedTensor, from_planes, from_vec};

/// Max-pooling of images `[b, c, h, w]` over windows that do not overlap. Rows and columns that fill no window are
/// left out.
#[derive(Debug, Clone, Copy)]
struct Pooling {
    /// Batch, channels, height and width of the images.
    images: [usize; 4],
    /// Height and width of a window.
    window: [usize; 2],
}

impl Pooling {
    fn output(&self) -> [usize; 2] {
        let [_, _, height, width] = self.images;
        [height / self.window[0], width / self.window[1]]
    }

    fn planes(&self) -> [usize; 4] {
        let [batch, channels, ..] = self.images;
        let [height, width] = self.output();
        [channels, batch, height, width]
    }

    /// The output as `[c, b, oh, ow]`, and for each of its pixels the place in the window, row-major, of the first
    /// largest value. A NaN counts as the largest.
    fn forward(&self, x: &FlexTensor) -> (Vec<f32>, Vec<u16>) {
        let x = Planes::of(x);
        let [batch, channels, height, width] = self.images;
        let [rows, columns] = self.output();
        let count = batch * channels * rows * columns;
        let (mut y, mut places) = (vec![0.0; count], vec![0; count]);
        y.par_chunks_mut(batch * rows * columns)
            .zip(places.par_chunks_mut(batch * rows * columns))
            .zip(x.values().par_chunks(batch * height * width))
            .for_each(|((y, places), x)| {
                let y = y.chunks_exact_mut(columns);
                let output = y.zip(places.chunks_exact_mut(columns));
                for (index, (y, places)) in output.enumerate() {
                    let (image, row) = (index / rows, index % rows);
                    let first = (image * height + row * self.window[0]) * width;
                    self.forward_row(&x[first..], y, places);
                }
            });
        (y, places)
    }

    /// A row of the output from the pixels `x`, which begin with the first row of the windows.
    fn forward_row(&self, x: &[f32], y: &mut [f32], places: &mut [u16]) {
        let width = self.images[3];
        if self.window == [2, 2] {
            let (top, bottom) = (&x[..2 * y.len()], &x[width..width + 2 * y.len()]);
            let (top, bottom) = (top.as_chunks::<2>().0, bottom.as_chunks::<2>().0);
            let windows = top.iter().zip(bottom);
            for ((y, place), (top, bottom)) in y.iter_mut().zip(places).zip(windows) {
                let upper = first_largest((top[0], 0), (top[1], 1));
                let lower = first_largest((bottom[0], 2), (bottom[1], 3));
                (*y, *place) = first_largest(upper, lower);
            }
            return;
        }
        let [window_h, window_w] = self.window;
        for (column, (y, place)) in y.iter_mut().zip(places).enumerate() {
            let mut best = (x[column * window_w], 0);
            for row in 0..window_h {
                let first = row * width + column * window_w;
                for (i, &value) in x[first..first + window_w].iter().enumerate() {
                    best = first_largest(best, (value, (row * window_w + i) as u16));
                }
            }
            (*y, *place) = best;
        }
    }

    /// The gradient of the images from that of the output: each value goes to the place of the maximum.
    fn backward(&self, places: &[u16], gradient: &FlexTensor) -> FlexTensor {
        let gradient = Planes::of(gradient);
        let [batch, channels, height, width] = self.images;
        let [rows, columns] = self.output();
        let [window_h, window_w] = self.window;
        let mut x = vec![0.0; batch * channels * height * width];
        x.par_chunks_mut(batch * height * width)
            .zip(places.par_chunks(batch * rows * columns))
            .zip(gradient.values().par_chunks(batch * rows * columns))
            .for_each(|((x, places), gradient)| {
                let output = places.chunks_exact(columns);
                let output = output.zip(gradient.chunks_exact(columns));
                for (index, (places, gradient)) in output.enumerate() {
                    let (image, row) = (index / rows, index % rows);
                    let first = (image * height + row * window_h) * width;
                    for (column, (&place, &value)) in places.iter().zip(gradient).enumerate() {
                        let place = usize::from(place);
                        let (i, j) = (place / window_w, place % window_w);
                        x[first + i * width + column * window_w + j] = value;
                    }
                }
            });
        let planes = [channels, batch, height, width];
        from_planes(from_vec(x, planes), planes)
    }
}

/// The larger of two values with their places; the first one when they are equal, or when it is NaN.
fn first_largest(a: (f32, u16), b: (f32, u16)) -> (f32, u16) {
    if a.0 >= b.0 || a.0.is_nan() { a } else { b }
}

/// Whether [`forward`] can pool `x` by `window`.
pub(crate) fn supports(x: &Tensor<4>, window: [usize; 2]) -> bool {
    CpuTensor::holds(x) && window[0] * window[1] <= usize::from(u16::MAX)
}

/// The largest values `[b, c, h/window, w/window]` of `x` `[b, c, h, w]` in windows that do not overlap.
pub(crate) fn forward(x: Tensor<4>, window: [usize; 2]) -> Tensor<4> {
    let pooling = Pooling {
        images: x.dims(),
        window,
    };
    let is_tracked = x.device().is_autodiff();
    let x = CpuTensor::of(x);
    let y = if is_tracked {
        CpuTensor::Tracked(tracked(pooling, x.into_tracked()))
    } else {
        let (y, _) = pooling.forward(&x.into_values());
        CpuTensor::Plain(from_planes(from_vec(y, pooling.planes()), pooling.planes()))
    };
    y.into_tensor()
}

fn tracked(pooling: Pooling, x: TrackedTensor) -> TrackedTensor {
    let prepared = Pool
        .prepare::<NoCheckpointing>([x.node()])
        .compute_bound()
        .stateful();
    let (y, places) = pooling.forward(&x.into_primitive());
    let y = from_planes(from_vec(y, pooling.planes()), pooling.planes());
    match prepared {
        OpsKind::Tracked(prepared) => prepared.finish((pooling, places), y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    }
}

/// The node of a max-pooling in the graph; its parent is x.
#[derive(Debug)]
struct Pool;

impl Backward<Flex, 1> for Pool {
    type State = (Pooling, Vec<u16>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let (pooling, places) = ops.state;
        let [parent] = ops.parents;
        if let Some(node) = parent {
            gradients.register::<Flex>(node.id, pooling.backward(&places, &gradient));
        }
    }
}
