//! Several tensors in one read from the device: in a browser each read is slow, however small.

use burn::tensor::Tensor;

use super::Failure;

/// Tensors that are read from the device together.
#[derive(Default)]
pub struct JoinedRead {
    flat: Vec<Option<Tensor<1>>>,
}

impl JoinedRead {
    /// Adds a tensor of any shape; its values come back row-major.
    pub fn add<const D: usize>(&mut self, tensor: Tensor<D>) {
        let n = tensor.dims().iter().product::<usize>();
        self.flat.push(Some(tensor.reshape([n])));
    }

    /// Adds a tensor. `None` keeps a place, at which [`Self::read`] returns an empty list.
    pub fn add_if_any<const D: usize>(&mut self, tensor: Option<Tensor<D>>) {
        match tensor {
            Some(tensor) => self.add(tensor),
            None => self.flat.push(None),
        }
    }

    /// Reads all tensors, in the order in which they were added. `N` must be their number.
    ///
    /// # Errors
    /// When the device fails, or a value is NaN.
    pub async fn read<const N: usize>(self) -> Result<[Vec<f32>; N], Failure> {
        let length = |part: &Option<Tensor<1>>| part.as_ref().map_or(0, |part| part.dims()[0]);
        let lengths: Vec<usize> = self.flat.iter().map(length).collect();
        let data = Tensor::cat(self.flat.into_iter().flatten().collect(), 0)
            .into_data_async()
            .await
            .map_err(|e| {
                // Only the first line is used: below it, burn repeats the causes and prints a backtrace.
                let why = e.to_string();
                let why = why.lines().next().unwrap_or_default();
                format!("the device failed while computing ({why})")
            })?;
        let all: Vec<f32> = data.iter::<f32>().collect();
        if all.iter().any(|x| x.is_nan()) {
            return Err("the device computed numbers that are not numbers; try the CPU".into());
        }
        let mut rest = all.as_slice();
        let split: Vec<Vec<f32>> = lengths
            .iter()
            .map(|&n| {
                let (part, after) = rest.split_at(n);
                rest = after;
                part.to_vec()
            })
            .collect();
        split
            .try_into()
            .map_err(|_| "the number of parts is not the number asked for".into())
    }
}
