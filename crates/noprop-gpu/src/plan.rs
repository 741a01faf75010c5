//! What the kernel reads at each step, for one sampler and one T.

use burn::tensor::Tensor;
use noprop_core::network::Process;
use noprop_core::sampler::{DDIM, EULER, HEUN, LONGEST_STEP};
use noprop_core::{NoProp, Sampler, Walk};

use crate::error::GpuError;
use crate::sizes::pad_columns;
use crate::weights::host;

/// DDIM's number in the kernel.
const DDIM_IN_KERNEL: u32 = 0;

/// The samplers that the kernel has, with their numbers in it.
const IN_KERNEL: [(Sampler, u32); 3] = [(DDIM, DDIM_IN_KERNEL), (EULER, 1), (HEUN, 2)];

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
    /// Whether the kernel has `sampler`.
    pub fn solves(sampler: Sampler) -> bool {
        IN_KERNEL.iter().any(|(known, _)| *known == sampler)
    }

    /// The tables of a walk by `sampler` in `steps` steps on the device of `model`, read back once; the
    /// CPU is best for it. `model` must be off the autodiff device.
    ///
    /// # Errors
    /// When `sampler` is none of DDIM, Euler and Heun, `steps` is 0, or the device fails.
    pub async fn new(model: &NoProp, sampler: Sampler, steps: usize) -> Result<Self, GpuError> {
        let number = IN_KERNEL.iter().find(|(known, _)| *known == sampler);
        let Some((_, number)) = number else {
            return Err(GpuError::Sampler(sampler));
        };
        if steps == 0 {
            return Err(GpuError::NoSteps);
        }
        let times = model.times(&Walk::new(sampler, steps));
        let plan = Self::over(model, times).await?;
        // Euler's and Heun's steps are even in λ, so the first is as long as any.
        let too_long = f64::from(plan.grid[4 + 2] - plan.grid[2]) > LONGEST_STEP;
        Ok(Self {
            sampler: if too_long { DDIM_IN_KERNEL } else { *number },
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
        let Process::Diffusion(shared, schedule) = model.process() else {
            return Err(GpuError::of(model));
        };
        let point = schedule.at(times.clone());
        let unused = point.log_snr.zeros_like();
        let columns = vec![point.alpha_bar, point.sigma_squared, point.log_snr, unused];
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

    /// T.
    pub fn steps(&self) -> usize {
        self.steps
    }
}
