//! The fused solver of `noprop-gpu` behind the engine. The fused solver has a device of its own. So the features go to
//! it through the host, a few hundred bytes an image, and a copy of the model on the CPU reads classes off its walks.

use burn::tensor::{Device, Tensor, TensorData};
use noprop_core::{Features, NoProp, Sampler, weights};
use noprop_gpu::{AdapterChoice, FusedSolver, Gpu, SolverInput, SolverWeights, StepTables};

use super::walk::{DeviceWalk, WalkInput};
use super::{Failure, JoinedRead, requested};

/// The fused solver of a model.
pub struct Fused {
    /// The model on the CPU. It makes the step tables and reads classes off the walks.
    model: NoProp,
    solver: FusedSolver,
    /// The step tables of the last walk, with its sampler and T.
    tables: Option<(Sampler, usize, StepTables)>,
}

impl Fused {
    /// Whether the fused solver makes walks by `sampler`.
    pub fn solves(&self, sampler: Sampler) -> bool {
        StepTables::solves(sampler)
    }

    /// Opens a device and a solver for the model in the bytes of a weights file.
    ///
    /// # Errors
    /// When there is no adapter, or the model does not fit it or is not one that the solver serves.
    pub async fn open(bytes: Vec<u8>) -> Result<Self, Failure> {
        let failed = |error: noprop_gpu::GpuError| error.to_string();
        let (model, _) = weights::from_bytes(bytes, &Device::flex()).map_err(|e| e.to_string())?;
        let gpu = Gpu::open(AdapterChoice::Fastest).await.map_err(failed)?;
        let weights = SolverWeights::from_model(&model).await.map_err(failed)?;
        let solver = FusedSolver::new(&gpu, weights).await.map_err(failed)?;
        Ok(Self {
            model,
            solver,
            tables: None,
        })
    }

    /// Walks each image of `start` from noise to a label in one dispatch, for [`super::Engine::walk`].
    ///
    /// # Errors
    /// When the device fails.
    pub async fn walk(&mut self, start: WalkInput<'_>) -> Result<DeviceWalk, Failure> {
        let WalkInput {
            features,
            walk,
            first,
            seeds,
            record,
        } = start;
        let [images, width] = features.fused.dims();
        let mut joined = JoinedRead::default();
        joined.add(features.fused.clone());
        joined.add(features.values.clone());
        let [fused, values] = joined.read().await?;

        let d = self.model.config().latent_dim();
        let samples = images * seeds;
        // The same function as on every other path.
        let z_0 = requested(walk).initial_latents(first, samples, d, &Device::flex());
        let z_0: Vec<f32> = z_0.into_data().iter::<f32>().collect();
        let steps = walk.steps.max(1) as usize;
        let tables = match self.tables.take() {
            Some((kind, t, tables)) if (kind, t) == (walk.sampler, steps) => tables,
            _ => StepTables::new(&self.model, walk.sampler, steps)
                .await
                .map_err(|e| e.to_string())?,
        };
        let start = SolverInput {
            fused: &fused,
            z_0: &z_0,
            record,
        };
        let result = self.solver.solve(&tables, start).await;
        self.tables = Some((walk.sampler, steps, tables));
        let result = result.map_err(|e| e.to_string())?;

        let device = Device::flex();
        let matrix = |values: Vec<f32>, columns: usize| {
            Tensor::from_data(TensorData::new(values, [images, columns]), &device)
        };
        let (latents, states) = match result.latents {
            Some(latents) => (latents, steps + 1),
            None => (result.z_1, 1),
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

    /// The derivative dz/dλ `[n, d]` and the class probabilities `[n, m]` for one image at points `z` `[n, d]`.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn estimate(
        &self,
        features: &Features,
        z: &[f32],
        t: f32,
    ) -> Result<[Vec<f32>; 2], Failure> {
        let mut joined = JoinedRead::default();
        joined.add(features.fused.clone());
        let [fused] = joined.read().await?;
        let tables = StepTables::at(&self.model, t)
            .await
            .map_err(|e| e.to_string())?;
        let start = SolverInput {
            fused: &fused,
            z_0: z,
            record: false,
        };
        let estimates = self.solver.estimate(&tables, start).await;
        let estimates = estimates.map_err(|e| e.to_string())?;
        Ok([estimates.velocity, estimates.probabilities])
    }
}
