//! A model's denoiser and class embeddings as the kernel wants them.

use burn::tensor::Tensor;
use noprop_core::{NoProp, Process};

use crate::error::GpuError;
use crate::sizes::{Sizes, groups, pad_columns};

/// Logits of the classes that only fill up a group of four: exp makes them exactly 0.
const NO_CLASS: f32 = -1e30;

/// Everything of a model that is the same for every step and every sample, on the host.
#[derive(Debug, Clone)]
pub struct SolverWeights {
    sizes: Sizes,
    /// All matrices, row-major, rows and columns filled up to whole groups of four.
    packed: Vec<f32>,
    /// Name in the kernel and first group of each matrix.
    offsets: Vec<(&'static str, usize)>,
    latent_enters: bool,
    fused_scale: Option<Vec<f32>>,
}

impl SolverWeights {
    /// Reads the weights from the device of `model`, which must be off the autodiff device.
    ///
    /// # Errors
    /// When the model is of flow matching or of NoProp-DT, or its z goes through convolutions, or the
    /// device fails.
    pub async fn from_model(model: &NoProp) -> Result<Self, GpuError> {
        let Process::Diffusion(shared, _) = model.process() else {
            return Err(GpuError::of(model));
        };
        let config = model.config();
        let sizes = Sizes {
            latent: config.latent_dim(),
            width: config.embed_dim,
            first: config.head.hidden[0],
            second: config.head.hidden[1],
            classes: config.classes,
        };
        let Some(folded) = shared.denoiser.folded() else {
            return Err(GpuError::LatentImage);
        };
        let mut pack = Pack::default();
        pack.add("LABEL_WEIGHT", folded.label_weight, 0.0).await?;
        pack.add("LABEL_BIAS", folded.label_bias, 0.0).await?;
        pack.add("LABEL_SHARE", folded.label_share, 0.0).await?;
        let latent_enters = folded.latent_share.is_some();
        match folded.latent_share {
            Some(share) => pack.add("LATENT_SHARE", share, 0.0).await?,
            None => pack.offsets.push(("LATENT_SHARE", 0)),
        }
        pack.add("SECOND_WEIGHT", folded.second_weight, 0.0).await?;
        pack.add("SECOND_BIAS", folded.second_bias, 0.0).await?;
        pack.add("THIRD_WEIGHT", folded.third_weight, 0.0).await?;
        pack.add("THIRD_BIAS", folded.third_bias, NO_CLASS).await?;
        pack.add("EMBEDDING", model.class_embedding.weight.val(), 0.0)
            .await?;
        let fused_scale = match folded.fused_scale {
            Some(scale) => Some(host(scale).await?),
            None => None,
        };
        Ok(Self {
            sizes,
            packed: pack.values,
            offsets: pack.offsets,
            latent_enters,
            fused_scale,
        })
    }

    /// Widths of the denoiser.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    pub(crate) fn packed(&self) -> &[f32] {
        &self.packed
    }

    pub(crate) fn offsets(&self) -> Vec<(&'static str, usize)> {
        self.offsets.clone()
    }

    pub(crate) fn latent_enters(&self) -> bool {
        self.latent_enters
    }

    /// The features' share `[n, hidden]` as the kernel reads it.
    pub(crate) fn prepare_fused(&self, fused: &[f32]) -> Vec<f32> {
        let first = self.sizes.first;
        match &self.fused_scale {
            Some(scale) => {
                let scaled = fused.iter().zip(scale.iter().cycle());
                let scaled: Vec<f32> = scaled.map(|(x, s)| x * s).collect();
                pad_columns(&scaled, first, 0.0)
            }
            None => pad_columns(fused, first, 0.0),
        }
    }
}

#[derive(Default)]
struct Pack {
    values: Vec<f32>,
    offsets: Vec<(&'static str, usize)>,
}

impl Pack {
    async fn add(
        &mut self,
        name: &'static str,
        matrix: Tensor<2>,
        fill: f32,
    ) -> Result<(), GpuError> {
        let [rows, columns] = matrix.dims();
        let padded = pad_columns(&host(matrix).await?, columns, fill);
        self.offsets.push((name, self.values.len() / 4));
        self.values.extend(padded);
        // A bias is one row; every other matrix is multiplied four rows at a time.
        if rows > 1 {
            let missing = (4 * groups(rows) - rows) * 4 * groups(columns);
            self.values.resize(self.values.len() + missing, 0.0);
        }
        Ok(())
    }
}

/// The tensor's numbers, row-major.
pub(crate) async fn host(tensor: Tensor<2>) -> Result<Vec<f32>, GpuError> {
    let data = tensor.into_data_async().await;
    let data = data.map_err(|error| GpuError::Tensor(error.to_string()))?;
    Ok(data.iter::<f32>().collect())
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use noprop_core::method::{Dt, Fm};
    use noprop_core::{Method, ModelConfig};

    use super::*;

    #[test]
    fn models_that_the_kernel_does_not_walk_are_refused() {
        let refusal = |method| {
            let config = ModelConfig {
                embed_dim: 4,
                ..Default::default()
            };
            let model = NoProp::new(&method, &config, 0, &Device::flex()).unwrap();
            let result = pollster::block_on(SolverWeights::from_model(&model));
            result.map(|_| ()).unwrap_err().to_string()
        };
        assert!(refusal(Method::Fm(Fm::default())).contains("a flow"));
        assert!(refusal(Method::Dt(Dt::default())).contains("a block for each"));
    }
}
