//! Widths of the network in the kernel's unit, groups of four numbers.

/// Widths of one denoiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// d, of the latents z.
    pub latent: usize,
    /// Of the label encoding.
    pub width: usize,
    /// Of the first hidden layer.
    pub first: usize,
    /// Of the second hidden layer.
    pub second: usize,
    /// m.
    pub classes: usize,
}

impl Sizes {
    /// Bytes of workgroup memory that the four samples of a workgroup take.
    pub fn workgroup_bytes(&self) -> usize {
        let activations = [
            self.latent,
            self.width,
            self.first,
            self.second,
            self.classes,
        ];
        let walk = 2 * groups(self.latent);
        64 * (activations.into_iter().map(groups).sum::<usize>() + walk)
    }

    /// Invocations per workgroup, at most `limit`: one for each group of the widest layer.
    pub fn threads(&self, limit: usize) -> usize {
        let widest = self.width.max(self.first).max(self.second).max(self.latent);
        groups(widest).next_power_of_two().clamp(32, 256).min(limit)
    }
}

/// Groups of four that hold `n` numbers.
pub(crate) fn groups(n: usize) -> usize {
    n.div_ceil(4)
}

/// A row-major matrix of `columns` columns with every row filled up to whole groups by `fill`.
pub(crate) fn pad_columns(values: &[f32], columns: usize, fill: f32) -> Vec<f32> {
    let padded = 4 * groups(columns);
    let mut out = Vec::with_capacity(values.len() / columns * padded);
    for row in values.chunks(columns) {
        out.extend_from_slice(row);
        out.resize(out.len() + padded - columns, fill);
    }
    out
}

/// Undoes [`pad_columns`].
pub(crate) fn strip_columns(values: &[f32], columns: usize) -> Vec<f32> {
    let padded = 4 * groups(columns);
    let rows = values.chunks(padded);
    rows.flat_map(|row| &row[..columns]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_undone() {
        let values: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let padded = pad_columns(&values, 5, -1.0);
        assert_eq!(padded[..8], [0.0, 1.0, 2.0, 3.0, 4.0, -1.0, -1.0, -1.0]);
        assert_eq!(padded.len(), 16);
        assert_eq!(strip_columns(&padded, 5), values);
    }
}
