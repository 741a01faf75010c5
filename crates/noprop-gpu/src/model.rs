//! The data of a model that the kernel reads, on the host: the widths of its layers, its weights, packed
//! once, and the tables over the times of a walk. The kernel counts widths in groups of four numbers.

use burn::tensor::Tensor;
use noprop_core::network::DiffusionModel;
use noprop_core::sampler::{DDIM, EULER, HEUN, LONGEST_STEP};
use noprop_core::{NoProp, Process, Sampler, Walk};

use crate::error::GpuError;

/// The widths of the layers of one denoiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The dimension d of the latents z.
    pub latent: usize,
    /// The width of the encoding of z, `embed_dim`.
    pub width: usize,
    /// The width of the first hidden layer.
    pub first: usize,
    /// The width of the second hidden layer.
    pub second: usize,
    /// The number m of classes.
    pub classes: usize,
}

impl Sizes {
    /// The bytes of workgroup memory that the four samples of a workgroup take.
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

    /// The number of invocations per workgroup: one for each group of the widest layer, and at most `limit`.
    pub fn threads(&self, limit: usize) -> usize {
        let widest = self.width.max(self.first).max(self.second).max(self.latent);
        groups(widest).next_power_of_two().clamp(32, 256).min(limit)
    }
}

/// The number of groups of four that hold `n` numbers.
pub(crate) fn groups(n: usize) -> usize {
    n.div_ceil(4)
}

/// The row-major matrix `values` of `columns` columns, with every row filled up to whole groups of four by
/// `fill`.
pub(crate) fn pad_columns(values: &[f32], columns: usize, fill: f32) -> Vec<f32> {
    let padded = 4 * groups(columns);
    let mut out = Vec::with_capacity(values.len() / columns * padded);
    for row in values.chunks(columns) {
        out.extend_from_slice(row);
        out.resize(out.len() + padded - columns, fill);
    }
    out
}

/// The matrix of `columns` columns that [`pad_columns`] has filled up to `values`.
pub(crate) fn strip_columns(values: &[f32], columns: usize) -> Vec<f32> {
    let padded = 4 * groups(columns);
    let rows = values.chunks(padded);
    rows.flat_map(|row| &row[..columns]).copied().collect()
}

/// The logit of the places that only fill up the last group of four classes: exp makes it exactly 0.
const NO_CLASS: f32 = -1e30;

/// The weights of a denoiser and the class embeddings of its model, packed for the kernel, on the host. They
/// serve every step and every sample.
#[derive(Debug, Clone)]
pub struct SolverWeights {
    sizes: Sizes,
    /// All matrices one after the other, row-major, their rows and columns filled up to whole groups of four.
    packed: Vec<f32>,
    /// The name of each matrix in the kernel and the group of four at which it begins in `packed`.
    offsets: Vec<(&'static str, usize)>,
    /// Whether z itself enters the first layer (the residual label encoder).
    latent_enters: bool,
    /// Whether the logits contain the part that z decides, in closed form.
    skip: bool,
    /// The factor of the first BatchNorm on the features' share, `[hidden]`, where the model has BatchNorm.
    fused_scale: Option<Vec<f32>>,
}

impl SolverWeights {
    /// Reads the weights from the device of `model`, which must be off the autodiff device.
    ///
    /// # Errors
    /// When the process of the model is not diffusion in continuous time, when its z goes through convolutions
    /// (`label_encoder` "image"), or when the device fails.
    pub async fn from_model(model: &NoProp) -> Result<Self, GpuError> {
        let Process::Diffusion(DiffusionModel { shared, skip, .. }) = model.process() else {
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
        let embedding = model.class_embedding.weight.val();
        let norms = embedding.clone().square().sum_dim(1).transpose();
        pack.add("EMBEDDING", embedding.clone(), 0.0).await?;
        match skip {
            true => {
                pack.add("SKIP_WEIGHT", embedding.transpose(), 0.0).await?;
                pack.add("SKIP_BIAS", norms.mul_scalar(-0.5), 0.0).await?;
            }
            false => pack.offsets.extend([("SKIP_WEIGHT", 0), ("SKIP_BIAS", 0)]),
        }
        let fused_scale = match folded.fused_scale {
            Some(scale) => Some(host(scale).await?),
            None => None,
        };
        Ok(Self {
            sizes,
            packed: pack.values,
            offsets: pack.offsets,
            latent_enters,
            skip,
            fused_scale,
        })
    }

    /// The widths of the denoiser.
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

    pub(crate) fn skip(&self) -> bool {
        self.skip
    }

    /// The features' share `fused` `[n, hidden]` as the kernel reads it: scaled by BatchNorm, and with rows
    /// filled up to whole groups of four.
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

/// Matrices on their way into one buffer.
#[derive(Default)]
struct Pack {
    values: Vec<f32>,
    offsets: Vec<(&'static str, usize)>,
}

impl Pack {
    /// Adds `matrix` under `name`, with rows filled up by `fill`.
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

/// Reads the values of `tensor` to the host, row-major.
pub(crate) async fn host(tensor: Tensor<2>) -> Result<Vec<f32>, GpuError> {
    let data = tensor.into_data_async().await;
    let data = data.map_err(|error| GpuError::Tensor(error.to_string()))?;
    Ok(data.iter::<f32>().collect())
}

/// The number of DDIM in the kernel.
const DDIM_IN_KERNEL: u32 = 0;

/// The samplers that the kernel knows, with their numbers in it.
const IN_KERNEL: [(Sampler, u32); 3] = [(DDIM, DDIM_IN_KERNEL), (EULER, 1), (HEUN, 2)];

/// Tables that the kernel reads at each step of a walk: the noise schedule and the time's share of the denoiser's
/// first layer at the times t_0 … t_T. They are computed by the tensor operations of the model and depend on the
/// sampler and on T, not on the image.
#[derive(Debug, Clone)]
pub struct StepTables {
    /// The number of steps T.
    pub(crate) steps: usize,
    /// The number of the sampler in the kernel.
    pub(crate) sampler: u32,
    /// The columns ᾱ, 1 − ᾱ, λ = log SNR and, for a model with the skip connection, √ᾱ/(1−ᾱ) (else 0) at each
    /// time, `[T + 1, 4]`.
    pub(crate) grid: Vec<f32>,
    /// The time's share of the first layer, `[T + 1, hidden]`, with rows filled up to whole groups of four.
    pub(crate) time_share: Vec<f32>,
}

impl StepTables {
    /// Whether the kernel knows `sampler`.
    pub fn solves(sampler: Sampler) -> bool {
        IN_KERNEL.iter().any(|(known, _)| *known == sampler)
    }

    /// The tables of a walk by `sampler` in `steps` steps. They are computed on the device of `model` and
    /// read back once; the CPU is best for it. `model` must be off the autodiff device.
    ///
    /// # Errors
    /// When `sampler` is none of DDIM, Euler and Heun, `steps` is 0, the process of the model is not diffusion in
    /// continuous time, or the device fails.
    pub async fn new(model: &NoProp, sampler: Sampler, steps: usize) -> Result<Self, GpuError> {
        let number = IN_KERNEL.iter().find(|(known, _)| *known == sampler);
        let Some((_, number)) = number else {
            return Err(GpuError::Sampler(sampler));
        };
        if steps == 0 {
            return Err(GpuError::NoSteps);
        }
        let times = model.times(&Walk::new(sampler, steps));
        let tables = Self::over(model, times).await?;
        // The steps of Euler and Heun are even in λ, so the first is as long as any other.
        let too_long = f64::from(tables.grid[4 + 2] - tables.grid[2]) > LONGEST_STEP;
        Ok(Self {
            sampler: if too_long { DDIM_IN_KERNEL } else { *number },
            ..tables
        })
    }

    /// The tables at the one time `t` in [0, 1], for [`FusedSolver::estimate`](crate::FusedSolver::estimate).
    ///
    /// # Errors
    /// When the process of the model is not diffusion in continuous time, or the device fails.
    pub async fn at(model: &NoProp, t: f32) -> Result<Self, GpuError> {
        Self::over(model, Tensor::full([1, 1], t, &model.device())).await
    }

    /// The tables at `times`, `[T + 1, 1]`.
    async fn over(model: &NoProp, times: Tensor<2>) -> Result<Self, GpuError> {
        let Process::Diffusion(DiffusionModel {
            shared,
            schedule,
            skip,
        }) = model.process()
        else {
            return Err(GpuError::of(model));
        };
        let point = schedule.at(times.clone());
        // √ᾱ/(1−ᾱ), the factor of z·u_y in the logits; 0 without the skip connection.
        let scale = point.alpha_bar.clone().sqrt() / point.sigma_squared.clone();
        let scale = if skip { scale } else { scale.zeros_like() };
        let columns = vec![point.alpha_bar, point.sigma_squared, point.log_snr, scale];
        let hidden = model.config().head.hidden[0];
        let steps = times.dims()[0] - 1;
        let share = shared.denoiser.time_share(times);
        Ok(Self {
            steps,
            sampler: DDIM_IN_KERNEL,
            grid: host(Tensor::cat(columns, 1)).await?,
            time_share: pad_columns(&host(share).await?, hidden, 0.0),
        })
    }

    /// The number of steps T.
    pub fn steps(&self) -> usize {
        self.steps
    }
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

    #[test]
    fn padding_is_undone() {
        let values: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let padded = pad_columns(&values, 5, -1.0);
        assert_eq!(padded[..8], [0.0, 1.0, 2.0, 3.0, 4.0, -1.0, -1.0, -1.0]);
        assert_eq!(padded.len(), 16);
        assert_eq!(strip_columns(&padded, 5), values);
    }
}
