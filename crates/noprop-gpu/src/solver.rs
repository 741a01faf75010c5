//! One dispatch for a whole walk, or for the velocity at one time.

use wgpu::util::{BufferInitDescriptor, DeviceExt};

use crate::batch::{Batch, bytes, within};
use crate::error::GpuError;
use crate::gpu::Gpu;
use crate::kernel::solve_source;
use crate::plan::Plan;
use crate::readback::read;
use crate::sizes::{Sizes, groups, pad_columns, strip_columns};
use crate::weights::SolverWeights;

/// The kernel for one model on one device.
#[derive(Debug)]
pub struct FusedSolver {
    gpu: Gpu,
    weights: SolverWeights,
    packed: wgpu::Buffer,
    solve: wgpu::ComputePipeline,
    estimate: wgpu::ComputePipeline,
}

/// Where a batch starts, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The features' share of the first layer (`Features::fused`), `[images, hidden]`.
    pub fused: &'a [f32],
    /// z_0, `[images · seeds, d]`: for each image as many noise seeds in a row as there are
    /// samples for one.
    pub z_0: &'a [f32],
    /// Whether a walk records every z_t.
    pub record: bool,
}

/// Where the samples went, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// z_1, `[samples, d]`.
    pub z_1: Vec<f32>,
    /// z at t_0 … t_T, `[samples, T + 1, d]`, where it was asked for.
    pub trajectory: Option<Vec<f32>>,
}

/// What the denoiser says of a batch at one time, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimates {
    /// dz/dλ of the probability-flow ODE, `[samples, d]`.
    pub velocity: Vec<f32>,
    /// Class probabilities of the denoiser, softmax of its logits, `[samples, m]`.
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

    /// The adapter's name.
    pub fn adapter(&self) -> &str {
        self.gpu.name()
    }

    /// Walks a batch through all steps of `plan`, which must be of the same model.
    ///
    /// # Errors
    /// When an input has the wrong size, the batch is too large for the adapter, or the device is
    /// lost.
    pub async fn solve(&self, plan: &Plan, start: Start<'_>) -> Result<Solution, GpuError> {
        let latent = self.weights.sizes().latent;
        let rows = if start.record { plan.steps + 1 } else { 1 };
        let values = self
            .run(&self.solve, plan, start, rows * groups(latent))
            .await?;
        let values = strip_columns(&values, latent);
        if !start.record {
            return Ok(Solution {
                z_1: values,
                trajectory: None,
            });
        }
        let walks = values.chunks(rows * latent);
        let last = walks.flat_map(|walk| &walk[(rows - 1) * latent..]);
        Ok(Solution {
            z_1: last.copied().collect(),
            trajectory: Some(values),
        })
    }

    /// What the denoiser says of `start.z_0` at the first time of `plan`, as for
    /// [`FusedSolver::solve`].
    ///
    /// # Errors
    /// As [`FusedSolver::solve`].
    pub async fn estimate(&self, plan: &Plan, start: Start<'_>) -> Result<Estimates, GpuError> {
        let Sizes {
            latent, classes, ..
        } = self.weights.sizes();
        let stride = groups(latent) + groups(classes);
        let values = self.run(&self.estimate, plan, start, stride).await?;
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

    /// Numbers that an entry point of the kernel writes, `stride` groups a sample.
    async fn run(
        &self,
        pipeline: &wgpu::ComputePipeline,
        plan: &Plan,
        start: Start<'_>,
        stride: usize,
    ) -> Result<Vec<f32>, GpuError> {
        let sizes = self.weights.sizes();
        let batch = Batch::new(sizes, plan, start.fused, start.z_0, stride)?;
        if batch.samples == 0 {
            return Ok(Vec::new());
        }
        batch.check(sizes, plan, &self.gpu.device.limits())?;
        let memory = self
            .gpu
            .device
            .push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self
            .gpu
            .device
            .push_error_scope(wgpu::ErrorFilter::Validation);
        let result = self.dispatch(pipeline, &batch, plan, start);
        let errors = [validation.pop(), memory.pop()];
        for error in errors {
            if let Some(error) = error.await {
                return Err(GpuError::Device(error.to_string()));
            }
        }
        read(&self.gpu, &result).await
    }

    /// Submits the work; the buffer it returns can be mapped.
    fn dispatch(
        &self,
        pipeline: &wgpu::ComputePipeline,
        batch: &Batch,
        plan: &Plan,
        start: Start<'_>,
    ) -> wgpu::Buffer {
        let device = &self.gpu.device;
        let sizes = self.weights.sizes();
        let walk = [
            plan.steps as u32,
            plan.sampler,
            start.record.into(),
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
            &upload(&self.gpu, "grid", &plan.grid),
            &upload(&self.gpu, "time share", &plan.time_share),
            &upload(&self.gpu, "fused", &self.weights.prepare_fused(start.fused)),
            &upload(&self.gpu, "z_0", &pad_columns(start.z_0, sizes.latent, 0.0)),
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

/// The kernel's two entry points.
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

fn upload(gpu: &Gpu, label: &str, values: &[f32]) -> wgpu::Buffer {
    gpu.device.create_buffer_init(&BufferInitDescriptor {
        label: Some(label),
        contents: bytemuck::cast_slice(values),
        usage: wgpu::BufferUsages::STORAGE,
    })
}
