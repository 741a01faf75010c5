//! The three pipelines: disc with field, cloud, trail.

use wgpu::{
    BindGroupLayout, BindingType, BlendState, BufferBindingType, Device, PrimitiveTopology,
    RenderPipeline, ShaderModule, ShaderStages, TextureFormat,
};

use crate::{FIELD, WALKS};

/// The pipelines, and the layouts of the buffers that they read.
pub struct Pipelines {
    /// Draws the disc with its rings and the field.
    pub disc: RenderPipeline,
    /// Draws the walks from other noise seeds.
    pub cloud: RenderPipeline,
    /// Draws the trail of a walk and its dot.
    pub trail: RenderPipeline,
    /// The layout of group 0 of all pipelines: the frame and the plane.
    pub frame: BindGroupLayout,
    /// The layout of group 1 of the disc: the arrows of the field.
    pub field: BindGroupLayout,
    /// The layout of group 1 of cloud and trail: the walk's sizes, its latents, its classes.
    pub walk: BindGroupLayout,
}

const UNIFORM: BufferBindingType = BufferBindingType::Uniform;
const STORAGE: BufferBindingType = BufferBindingType::Storage { read_only: true };

impl Pipelines {
    /// Compiles the shaders for canvases of `format`.
    pub fn new(device: &Device, format: TextureFormat) -> Self {
        let module = |source: &'static str| {
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Wgsl(source.into()),
            })
        };
        let (disc, strokes) = (module(FIELD), module(WALKS));
        let both = ShaderStages::VERTEX_FRAGMENT;
        let frame = layout(device, both, &[UNIFORM, STORAGE]);
        let field = layout(device, ShaderStages::FRAGMENT, &[STORAGE]);
        let walk = layout(device, ShaderStages::VERTEX, &[UNIFORM, STORAGE, STORAGE]);
        let build = |module, vertex, fragment, group, topology| {
            let groups = [Some(&frame), Some(group)];
            pipeline(device, module, vertex, fragment, &groups, topology, format)
        };
        Self {
            disc: build(
                &disc,
                "whole_canvas",
                "disc",
                &field,
                PrimitiveTopology::TriangleList,
            ),
            cloud: build(
                &strokes,
                "cloud",
                "ink",
                &walk,
                PrimitiveTopology::TriangleStrip,
            ),
            trail: build(
                &strokes,
                "trail",
                "ink",
                &walk,
                PrimitiveTopology::TriangleStrip,
            ),
            frame,
            field,
            walk,
        }
    }
}

fn layout(device: &Device, stages: ShaderStages, buffers: &[BufferBindingType]) -> BindGroupLayout {
    let entries: Vec<_> = (0..)
        .zip(buffers)
        .map(|(binding, &ty)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: stages,
            ty: BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &entries,
    })
}

fn pipeline(
    device: &Device,
    module: &ShaderModule,
    vertex: &str,
    fragment: &str,
    groups: &[Option<&BindGroupLayout>],
    topology: PrimitiveTopology,
    format: TextureFormat,
) -> RenderPipeline {
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: groups,
        immediate_size: 0,
    });
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(vertex),
        layout: Some(&layout),
        vertex: wgpu::VertexState {
            module,
            entry_point: Some(vertex),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[],
        },
        primitive: wgpu::PrimitiveState {
            topology,
            ..wgpu::PrimitiveState::default()
        },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module,
            entry_point: Some(fragment),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(wgpu::ColorTargetState {
                format,
                // The shaders smooth their edges themselves and write premultiplied alpha.
                blend: Some(BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                write_mask: wgpu::ColorWrites::ALL,
            })],
        }),
        multiview_mask: None,
        cache: None,
    })
}
