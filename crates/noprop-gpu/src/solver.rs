//! The solver: one dispatch for a whole walk, or for the velocity at one time.

use wgpu::util::{BufferInitDescriptor, DeviceExt};

use crate::error::GpuError;
use crate::gpu::{Gpu, read};
use crate::kernel::solve_source;
use crate::model::{Sizes, SolverWeights, StepTables, groups, pad_columns, strip_columns};
use crate::request::{Batch, bytes, within};

/// The kernel, compiled for one model on one device, with the weights of the model in GPU memory.
#[derive(Debug)]
pub struct FusedSolver {
    gpu: Gpu,
    weights: SolverWeights,
    packed: wgpu::Buffer,
    solve: wgpu::ComputePipeline,
    estimate: wgpu::ComputePipeline,
}

/// The input of a request, row-major on the host.
#[derive(Debug, Clone, Copy)]
pub struct SolverInput<'a> {
    /// The features' share of the first layer (`Features::fused`), `[images, hidden]`.
    pub fused: &'a [f32],
    /// The latents to start from, `[images · seeds, d]`: the `seeds` samples of the first image, then those
    /// of the second, and so on. For [`FusedSolver::estimate`] they are the latents z at which to evaluate.
    pub z_0: &'a [f32],
    /// Whether the result of a walk holds z at every time, not only z_1. [`FusedSolver::estimate`] ignores it.
    pub record: bool,
}

/// The result of a walk, row-major on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct WalkResult {
    /// The final latents z_1, `[samples, d]`.
    pub z_1: Vec<f32>,
    /// The latents z at t_0 … t_T, `[samples, T + 1, d]`, if [`SolverInput::record`] asked for them.
    pub latents: Option<Vec<f32>>,
}

/// The output of the denoiser for a batch at one time, row-major on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimates {
    /// The derivative dz/dλ of the probability-flow ODE, `[samples, d]`.
    pub velocity: Vec<f32>,
    /// The class probabilities of the denoiser, the softmax of its logits, `[samples, m]`.
    pub probabilities: Vec<f32>,
}

impl FusedSolver {
    /// Compiles the kernel and uploads the weights.
    ///
    /// # Errors
    /// When the model is too large for the adapter, or the kernel does not compile on it.
    pub async fn new(gpu: &Gpu, weights: SolverWeights) -> Result<Self, GpuError> {
        let limits = gpu.device.limits();
        let sizes = weights.sizes();
        within(
            "bytes of workgroup memory",
            sizes.workgroup_bytes() as u64,
            limits.max_compute_workgroup_storage_size.into(),
        )?;
        within(
            "bytes of weights in a buffer",
            bytes(weights.packed().len()),
            limits.max_storage_buffer_binding_size,
        )?;
        let most = limits
            .max_compute_invocations_per_workgroup
            .min(limits.max_compute_workgroup_size_x);
        let source = solve_source(&weights, sizes.threads(most as usize));
        let [solve, estimate] = compile(gpu, source).await?;
        let packed = upload(gpu, "weights", weights.packed());
        Ok(Self {
            gpu: gpu.clone(),
            weights,
            packed,
            solve,
            estimate,
        })
    }

    /// The name of the adapter.
    pub fn adapter(&self) -> &str {
        self.gpu.name()
    }

    /// Walks a batch through all steps of `tables`, which must belong to the model of this solver.
    ///
    /// # Errors
    /// When an input has the wrong size, the batch is too large for the adapter, or the device is
    /// lost.
    pub async fn solve(
        &self,
        tables: &StepTables,
        input: SolverInput<'_>,
    ) -> Result<WalkResult, GpuError> {
        let latent = self.weights.sizes().latent;
        let rows = if input.record { tables.steps + 1 } else { 1 };
        let values = self
            .run(&self.solve, tables, input, rows * groups(latent))
            .await?;
        let values = strip_columns(&values, latent);
        if !input.record {
            return Ok(WalkResult {
                z_1: values,
                latents: None,
            });
        }
        let walks = values.chunks(rows * latent);
        let last = walks.flat_map(|walk| &walk[(rows - 1) * latent..]);
        Ok(WalkResult {
            z_1: last.copied().collect(),
            latents: Some(values),
        })
    }

    /// Evaluates the denoiser at the latents `input.z_0` and the first time of `tables`, which must belong to the
    /// model of this solver ([`StepTables::at`] makes tables of one time).
    ///
    /// # Errors
    /// When an input has the wrong size, the batch is too large for the adapter, or the device is lost.
    pub async fn estimate(
        &self,
        tables: &StepTables,
        input: SolverInput<'_>,
    ) -> Result<Estimates, GpuError> {
        let Sizes {
            latent, classes, ..
        } = self.weights.sizes();
        let stride = groups(latent) + groups(classes);
        let values = self.run(&self.estimate, tables, input, stride).await?;
        let (mut velocity, mut probabilities) = (Vec::new(), Vec::new());
        for row in values.chunks(4 * stride) {
            velocity.extend_from_slice(&row[..latent]);
            probabilities.extend_from_slice(&row[4 * groups(latent)..][..classes]);
        }
        Ok(Estimates {
            velocity,
            probabilities,
        })
    }

    /// Runs an entry point of the kernel. The result holds `stride` groups of four for each sample.
    async fn run(
        &self,
        pipeline: &wgpu::ComputePipeline,
        tables: &StepTables,
        input: SolverInput<'_>,
        stride: usize,
    ) -> Result<Vec<f32>, GpuError> {
        let sizes = self.weights.sizes();
        let batch = Batch::new(sizes, tables, input.fused, input.z_0, stride)?;
        if batch.samples == 0 {
            return Ok(Vec::new());
        }
        batch.check(sizes, tables, &self.gpu.device.limits())?;
        let memory = self
            .gpu
            .device
            .push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self
            .gpu
            .device
            .push_error_scope(wgpu::ErrorFilter::Validation);
        let result = self.dispatch(pipeline, &batch, tables, input);
        let errors = [validation.pop(), memory.pop()];
        for error in errors {
            if let Some(error) = error.await {
                return Err(GpuError::Device(error.to_string()));
            }
        }
        read(&self.gpu, &result).await
    }

    /// Submits the work and returns the buffer of the result, which can be mapped.
    fn dispatch(
        &self,
        pipeline: &wgpu::ComputePipeline,
        batch: &Batch,
        tables: &StepTables,
        input: SolverInput<'_>,
    ) -> wgpu::Buffer {
        let device = &self.gpu.device;
        let sizes = self.weights.sizes();
        let walk = [
            tables.steps as u32,
            tables.sampler,
            input.record.into(),
            batch.seeds as u32,
            batch.samples as u32,
        ];
        let walk = device.create_buffer_init(&BufferInitDescriptor {
            label: Some("walk"),
            contents: bytemuck::cast_slice(&walk),
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let size = batch.result_bytes();
        let buffer = |label, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let result = buffer(
            "result",
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        );
        let host = buffer(
            "result on the host",
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        );
        let buffers = [
            &walk,
            &self.packed,
            &upload(&self.gpu, "grid", &tables.grid),
            &upload(&self.gpu, "time share", &tables.time_share),
            &upload(&self.gpu, "fused", &self.weights.prepare_fused(input.fused)),
            &upload(&self.gpu, "z_0", &pad_columns(input.z_0, sizes.latent, 0.0)),
            &result,
        ];
        let mut binding = 0..;
        let entries = buffers.map(|buffer| wgpu::BindGroupEntry {
            binding: binding.next().unwrap_or_default(),
            resource: buffer.as_entire_binding(),
        });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("ode_solve"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(batch.workgroups() as u32, 1, 1);
        drop(pass);
        encoder.copy_buffer_to_buffer(&result, 0, &host, 0, size);
        self.gpu.queue.submit([encoder.finish()]);
        host
    }
}

/// The pipelines of the two entry points `solve` and `estimate` of the kernel.
async fn compile(gpu: &Gpu, source: String) -> Result<[wgpu::ComputePipeline; 2], GpuError> {
    let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let module = gpu
        .device
        .create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("ode_solve"),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
    let pipelines = ["solve", "estimate"].map(|entry| {
        gpu.device
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry),
                layout: None,
                module: &module,
                entry_point: Some(entry),
                compilation_options: Default::default(),
                cache: None,
            })
    });
    match scope.pop().await {
        None => Ok(pipelines),
        Some(error) => Err(GpuError::Kernel(error.to_string())),
    }
}

/// A read-only storage buffer with `values`.
fn upload(gpu: &Gpu, label: &str, values: &[f32]) -> wgpu::Buffer {
    gpu.device.create_buffer_init(&BufferInitDescriptor {
        label: Some(label),
        contents: bytemuck::cast_slice(values),
        usage: wgpu::BufferUsages::STORAGE,
    })
}
