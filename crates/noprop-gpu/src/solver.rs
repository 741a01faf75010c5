//! One dispatch for a whole walk.

use wgpu::util::{BufferInitDescriptor, DeviceExt};

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
    pipeline: wgpu::ComputePipeline,
}

/// Where a batch starts, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The features' share of the first layer (`Features::fused`), `[images, hidden]`.
    pub fused: &'a [f32],
    /// z_0, `[images · seeds, d]`: for each image as many noise seeds in a row as there are
    /// samples for one.
    pub z_0: &'a [f32],
    /// Whether to record every z_t.
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
        let pipeline = compile(gpu, source).await?;
        let packed = upload(gpu, "weights", weights.packed());
        Ok(Self {
            gpu: gpu.clone(),
            weights,
            packed,
            pipeline,
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
        let batch = Batch::new(self.weights.sizes(), plan, start)?;
        if batch.samples == 0 {
            return Ok(Solution {
                z_1: Vec::new(),
                trajectory: start.record.then(Vec::new),
            });
        }
        self.check_limits(&batch, plan)?;
        let memory = self
            .gpu
            .device
            .push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self
            .gpu
            .device
            .push_error_scope(wgpu::ErrorFilter::Validation);
        let result = self.dispatch(&batch, plan, start);
        let errors = [validation.pop(), memory.pop()];
        for error in errors {
            if let Some(error) = error.await {
                return Err(GpuError::Device(error.to_string()));
            }
        }
        let latent = self.weights.sizes().latent;
        let values = strip_columns(&read(&self.gpu, &result).await?, latent);
        Ok(batch.solution(values, latent))
    }

    fn check_limits(&self, batch: &Batch, plan: &Plan) -> Result<(), GpuError> {
        let limits = self.gpu.device.limits();
        within(
            "workgroups, one for four samples",
            batch.workgroups() as u64,
            limits.max_compute_workgroups_per_dimension.into(),
        )?;
        let sizes = self.weights.sizes();
        let largest = [
            batch.result_len(sizes),
            batch.images * 4 * groups(sizes.first),
            plan.time_share.len(),
        ];
        let largest = largest.into_iter().max().unwrap_or(0);
        within(
            "bytes in a buffer",
            bytes(largest),
            limits
                .max_storage_buffer_binding_size
                .min(limits.max_buffer_size),
        )
    }

    /// Submits the walk; the buffer it returns can be mapped.
    fn dispatch(&self, batch: &Batch, plan: &Plan, start: Start<'_>) -> wgpu::Buffer {
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
        let size = bytes(batch.result_len(sizes));
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
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(batch.workgroups() as u32, 1, 1);
        drop(pass);
        encoder.copy_buffer_to_buffer(&result, 0, &host, 0, size);
        self.gpu.queue.submit([encoder.finish()]);
        host
    }
}

/// Shape of one request.
struct Batch {
    images: usize,
    seeds: usize,
    samples: usize,
    /// Times that are written for each sample.
    rows: usize,
}

impl Batch {
    fn new(sizes: Sizes, plan: &Plan, start: Start<'_>) -> Result<Self, GpuError> {
        let images = whole(
            "fused",
            start.fused.len(),
            sizes.first,
            "rows of hidden width",
        )?;
        let samples = whole("z_0", start.z_0.len(), sizes.latent, "rows of latent width")?;
        let seeds = match images {
            0 => 0,
            _ => samples / images,
        };
        if seeds * images != samples || (images > 0 && seeds == 0) {
            return Err(GpuError::Shape {
                what: "z_0",
                found: start.z_0.len(),
                expected: format!("the same number of rows for each of {images} images"),
            });
        }
        if plan.time_share.len() != (plan.steps + 1) * 4 * groups(sizes.first) {
            return Err(GpuError::Shape {
                what: "the plan's time share",
                found: plan.time_share.len(),
                expected: "a plan of the solver's own model".into(),
            });
        }
        Ok(Self {
            images,
            seeds,
            samples,
            rows: if start.record { plan.steps + 1 } else { 1 },
        })
    }

    fn workgroups(&self) -> usize {
        groups(self.samples)
    }

    fn result_len(&self, sizes: Sizes) -> usize {
        self.samples * self.rows * 4 * groups(sizes.latent)
    }

    fn solution(&self, values: Vec<f32>, latent: usize) -> Solution {
        if self.rows == 1 {
            return Solution {
                z_1: values,
                trajectory: None,
            };
        }
        let walks = values.chunks(self.rows * latent);
        let last = walks.flat_map(|walk| &walk[(self.rows - 1) * latent..]);
        Solution {
            z_1: last.copied().collect(),
            trajectory: Some(values),
        }
    }
}

/// `len / width`, where that is whole.
fn whole(
    what: &'static str,
    len: usize,
    width: usize,
    rows: &'static str,
) -> Result<usize, GpuError> {
    if len.is_multiple_of(width) {
        Ok(len / width)
    } else {
        Err(GpuError::Shape {
            what,
            found: len,
            expected: format!("{rows} {width}"),
        })
    }
}

fn within(what: &'static str, needed: u64, available: u64) -> Result<(), GpuError> {
    if needed <= available {
        Ok(())
    } else {
        Err(GpuError::Limit {
            what,
            needed,
            available,
        })
    }
}

fn bytes(floats: usize) -> u64 {
    4 * floats as u64
}

async fn compile(gpu: &Gpu, source: String) -> Result<wgpu::ComputePipeline, GpuError> {
    let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let module = gpu
        .device
        .create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("ode_solve"),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
    let pipeline = gpu
        .device
        .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("ode_solve"),
            layout: None,
            module: &module,
            entry_point: Some("solve"),
            compilation_options: Default::default(),
            cache: None,
        });
    match scope.pop().await {
        None => Ok(pipeline),
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
