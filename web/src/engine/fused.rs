//! The fused solver behind the engine. It has a device of its own, so features come over through
//! the host, a few hundred bytes an image, and the walk is read where the CPU can.

use burn::tensor::{Device, Tensor, TensorData};
use noprop_core::noise::initial_latents;
use noprop_core::{Features, NoProp, Sampler, weights};
use noprop_gpu::{AdapterChoice, FusedSolver, Gpu, Plan, SolverWeights, Start};

use super::device_walk::{self, DeviceWalk};
use super::{Failure, Parts};

/// Whether the solver has this sampler.
pub fn solves(sampler: Sampler) -> bool {
    Plan::solves(sampler)
}

/// A solver with what it needs of the model.
pub struct Fused {
    /// The model on the CPU, for tables and for reading walks.
    model: NoProp,
    solver: FusedSolver,
    /// The last tables, by sampler and T.
    plan: Option<(Sampler, usize, Plan)>,
}

impl Fused {
    /// A solver for the model in the bytes of a weights file.
    ///
    /// # Errors
    /// When the adapter cannot do it.
    pub async fn open(bytes: Vec<u8>) -> Result<Self, Failure> {
        let failed = |error: noprop_gpu::GpuError| error.to_string();
        let (model, _) = weights::from_bytes(bytes, &Device::flex()).map_err(|e| e.to_string())?;
        let gpu = Gpu::open(AdapterChoice::Fastest).await.map_err(failed)?;
        let weights = SolverWeights::from_model(&model).await.map_err(failed)?;
        let solver = FusedSolver::new(&gpu, weights).await.map_err(failed)?;
        Ok(Self {
            model,
            solver,
            plan: None,
        })
    }

    /// As [`super::Engine::walk`].
    ///
    /// # Errors
    /// When the device fails.
    pub async fn walk(&mut self, start: device_walk::Start<'_>) -> Result<DeviceWalk, Failure> {
        let device_walk::Start {
            features,
            walk,
            first,
            seeds,
            record,
        } = start;
        let [images, width] = features.fused.dims();
        let mut parts = Parts::default();
        parts.add(features.fused.clone());
        parts.add(features.values.clone());
        let [fused, values] = parts.read().await?;

        let d = self.model.config().latent_dim();
        let samples = images * seeds;
        let mut z_0 = initial_latents(walk.seed, first, samples, d);
        z_0.iter_mut().for_each(|z| *z *= walk.temperature);
        let steps = walk.steps.max(1) as usize;
        let plan = match self.plan.take() {
            Some((kind, t, plan)) if (kind, t) == (walk.sampler, steps) => plan,
            _ => Plan::new(&self.model, walk.sampler, steps)
                .await
                .map_err(|e| e.to_string())?,
        };
        let start = Start {
            fused: &fused,
            z_0: &z_0,
            record,
        };
        let solution = self.solver.solve(&plan, start).await;
        self.plan = Some((walk.sampler, steps, plan));
        let solution = solution.map_err(|e| e.to_string())?;

        let device = Device::flex();
        let matrix = |values: Vec<f32>, columns: usize| {
            Tensor::from_data(TensorData::new(values, [images, columns]), &device)
        };
        let (latents, states) = match solution.trajectory {
            Some(trajectory) => (trajectory, steps + 1),
            None => (solution.z_1, 1),
        };
        let embed_dim = values.len() / images;
        Ok(DeviceWalk {
            model: self.model.clone(),
            features: Features {
                values: matrix(values, embed_dim),
                fused: matrix(fused, width),
            },
            latents: Tensor::from_data(TensorData::new(latents, [samples, states, d]), &device),
        })
    }
    /// dz/dλ `[n, d]` and class probabilities `[n, m]` for one image at points `z` `[n, d]`.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn estimate(
        &self,
        features: &Features,
        z: &[f32],
        t: f32,
    ) -> Result<[Vec<f32>; 2], Failure> {
        let mut parts = Parts::default();
        parts.add(features.fused.clone());
        let [fused] = parts.read().await?;
        let plan = Plan::at(&self.model, t).await.map_err(|e| e.to_string())?;
        let start = Start {
            fused: &fused,
            z_0: z,
            record: false,
        };
        let estimates = self.solver.estimate(&plan, start).await;
        let estimates = estimates.map_err(|e| e.to_string())?;
        Ok([estimates.velocity, estimates.probabilities])
    }
}
