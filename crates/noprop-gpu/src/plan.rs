//! What the kernel reads at each step, for one sampler and one T.

use burn::tensor::Tensor;
use noprop_core::sampler::LONGEST_STEP;
use noprop_core::{NoProp, SamplerKind};

use crate::error::GpuError;
use crate::sizes::pad_columns;
use crate::weights::host;

/// DDIM's number in the kernel.
const DDIM: u32 = 0;

/// Tables over the times t_0 … t_T, computed with the model's own tensors.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) steps: usize,
    /// The sampler's number in the kernel.
    pub(crate) sampler: u32,
    /// ᾱ, 1 − ᾱ, λ and a zero: `[T + 1, 4]`.
    pub(crate) grid: Vec<f32>,
    /// The time's share of the first layer, `[T + 1, hidden]`, filled up.
    pub(crate) time_share: Vec<f32>,
}

impl Plan {
    /// The tables of `kind` at T = `steps` on the device of `model`, read back once; the CPU is
    /// best for it. `model` must be off the autodiff device.
    ///
    /// # Errors
    /// When `kind` is none of DDIM, Euler and Heun, `steps` is 0, or the device fails.
    pub async fn new(model: &NoProp, kind: SamplerKind, steps: usize) -> Result<Self, GpuError> {
        let sampler = match kind {
            SamplerKind::Ddim => DDIM,
            SamplerKind::Euler => 1,
            SamplerKind::Heun => 2,
            other => return Err(GpuError::Sampler(other)),
        };
        if steps == 0 {
            return Err(GpuError::NoSteps);
        }
        let times = kind.times(&model.schedule, steps, &model.device());
        let plan = Self::over(model, times).await?;
        // Euler's and Heun's steps are even in λ, so the first is as long as any.
        let too_long = f64::from(plan.grid[4 + 2] - plan.grid[2]) > LONGEST_STEP;
        Ok(Self {
            sampler: if too_long { DDIM } else { sampler },
            ..plan
        })
    }

    /// The tables at the one time `t`, for [`FusedSolver::estimate`](crate::FusedSolver::estimate).
    ///
    /// # Errors
    /// When the device fails.
    pub async fn at(model: &NoProp, t: f32) -> Result<Self, GpuError> {
        Self::over(model, Tensor::full([1, 1], t, &model.device())).await
    }

    /// The tables at `times`, `[T + 1, 1]`.
    async fn over(model: &NoProp, times: Tensor<2>) -> Result<Self, GpuError> {
        let point = model.schedule.at(times.clone());
        let unused = point.log_snr.zeros_like();
        let columns = vec![point.alpha_bar, point.sigma_squared, point.log_snr, unused];
        let hidden = model.config().head.hidden[0];
        let steps = times.dims()[0] - 1;
        let Some(denoiser) = &model.denoiser else {
            return Err(GpuError::Blocks);
        };
        let share = denoiser.time_share(times);
        Ok(Self {
            steps,
            sampler: DDIM,
            grid: host(Tensor::cat(columns, 1)).await?,
            time_share: pad_columns(&host(share).await?, hidden, 0.0),
        })
    }

    /// T.
    pub fn steps(&self) -> usize {
        self.steps
    }
}
