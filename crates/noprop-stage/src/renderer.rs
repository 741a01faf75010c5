//! The renderer: the uploaded plane, field and walks, and one render pass that draws them.

use wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu::{BindGroup, BindGroupLayout, Buffer, BufferUsages, Device, Queue, TextureView};

use crate::pipelines::Pipelines;
use crate::scene::{Arrow, Field, Frame, Plane, RecordedWalks, Style, WalkRole, walk_bytes};

/// The largest number of pieces in which a trail is drawn.
const PIECES: f32 = 160.0;

/// Draws latent space on textures of one format.
pub struct Renderer {
    device: Device,
    queue: Queue,
    pipelines: Pipelines,
    style: Style,
    plane: Option<UploadedPlane>,
    field: UploadedField,
    main: Option<UploadedWalks>,
    second: Option<UploadedWalks>,
}

/// The plane in GPU memory, with the uniform of the frame.
struct UploadedPlane {
    uniform: Buffer,
    group: BindGroup,
    half: f32,
    dims: u32,
}

/// The field in GPU memory.
struct UploadedField {
    group: BindGroup,
    grid: u32,
}

/// Walks in GPU memory.
struct UploadedWalks {
    uniform: Buffer,
    group: BindGroup,
    seeds: u32,
    steps: u32,
}

impl Renderer {
    /// A renderer for textures of `format`. The format should not be an sRGB one: Canvas 2D blends colours in sRGB, and
    /// so must the renderer.
    pub fn new(device: Device, queue: Queue, format: wgpu::TextureFormat, style: Style) -> Self {
        let pipelines = Pipelines::new(&device, format);
        let nowhere = Arrow {
            velocity: [0.0; 2],
            class: None,
        };
        let field = UploadedField::new(&device, &pipelines.field, 0, &[nowhere]);
        Self {
            device,
            queue,
            pipelines,
            style,
            plane: None,
            field,
            main: None,
            second: None,
        }
    }

    /// Draws with the colours of `style` from now on.
    pub fn set_style(&mut self, style: Style) {
        self.style = style;
    }

    /// Shows the latent space of another model from now on. Walks and field are removed.
    pub fn set_plane(&mut self, plane: &Plane<'_>) {
        let uniform = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("frame"),
            size: Frame::BYTES,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let rows = storage(&self.device, "plane", &plane.bytes());
        self.plane = Some(UploadedPlane {
            group: bind(&self.device, &self.pipelines.frame, &[&uniform, &rows]),
            uniform,
            half: plane.half,
            dims: plane.centre.len() as u32,
        });
        (self.main, self.second) = (None, None);
        self.field.grid = 0;
    }

    /// Shows `walk` in the role `role` from now on, or no walk if it is `None`.
    pub fn set_walk(&mut self, role: WalkRole, walk: Option<&RecordedWalks<'_>>) {
        let walked = walk.map(|walk| UploadedWalks::new(&self.device, &self.pipelines.walk, walk));
        match role {
            WalkRole::Main => self.main = walked,
            WalkRole::Second => self.second = walked,
        }
    }

    /// Shows `field` from now on, in frames whose `field` is true.
    pub fn set_field(&mut self, field: &Field<'_>) {
        self.field = UploadedField::new(
            &self.device,
            &self.pipelines.field,
            field.grid,
            field.arrows,
        );
    }

    /// Draws `frame` on `view`. Before the first [`Self::set_plane`] the result is transparent.
    pub fn draw(&self, view: &TextureView, frame: &Frame) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("stage"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color::TRANSPARENT),
                    store: wgpu::StoreOp::Store,
                },
            })],
            ..Default::default()
        });
        if let Some(plane) = &self.plane {
            let grid = if frame.field { self.field.grid } else { 0 };
            let bytes = frame.bytes(&self.style, plane.half, plane.dims, grid);
            self.queue.write_buffer(&plane.uniform, 0, &bytes);
            pass.set_bind_group(0, &plane.group, &[]);
            pass.set_pipeline(&self.pipelines.disc);
            pass.set_bind_group(1, &self.field.group, &[]);
            pass.draw(0..3, 0..1);

            if let (true, Some(main)) = (frame.cloud, &self.main) {
                pass.set_pipeline(&self.pipelines.cloud);
                pass.set_bind_group(1, &main.group, &[]);
                pass.draw(0..4, 0..2 * (main.seeds - 1));
            }
            pass.set_pipeline(&self.pipelines.trail);
            let walks = [
                (WalkRole::Second, &self.second),
                (WalkRole::Main, &self.main),
            ];
            for (role, walked) in walks {
                let Some(walked) = walked else { continue };
                let position = frame.share * walked.steps as f32;
                let pieces = (4.0 * position).ceil().clamp(1.0, PIECES) as u32;
                let bytes = walk_bytes(walked.seeds, walked.steps, pieces, role);
                self.queue.write_buffer(&walked.uniform, 0, &bytes);
                pass.set_bind_group(1, &walked.group, &[]);
                // The last instance is the dot.
                pass.draw(0..4, 0..pieces + 1);
            }
        }
        drop(pass);
        self.queue.submit([encoder.finish()]);
    }
}

impl UploadedField {
    fn new(device: &Device, layout: &BindGroupLayout, grid: u32, arrows: &[Arrow]) -> Self {
        let words: Vec<[u32; 4]> = arrows.iter().map(|arrow| arrow.words()).collect();
        let arrows = storage(device, "field", bytemuck::cast_slice(&words));
        Self {
            group: bind(device, layout, &[&arrows]),
            grid,
        }
    }
}

impl UploadedWalks {
    fn new(device: &Device, layout: &BindGroupLayout, walk: &RecordedWalks<'_>) -> Self {
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("walk"),
            size: 16,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let latents = storage(device, "latents", bytemuck::cast_slice(walk.latents));
        let classes = storage(device, "classes", bytemuck::cast_slice(walk.classes));
        Self {
            group: bind(device, layout, &[&uniform, &latents, &classes]),
            uniform,
            seeds: walk.classes.len() as u32,
            steps: walk.steps,
        }
    }
}

fn storage(device: &Device, label: &str, contents: &[u8]) -> Buffer {
    device.create_buffer_init(&BufferInitDescriptor {
        label: Some(label),
        contents,
        usage: BufferUsages::STORAGE,
    })
}

fn bind(device: &Device, layout: &BindGroupLayout, buffers: &[&Buffer]) -> BindGroup {
    let entries: Vec<_> = (0..)
        .zip(buffers)
        .map(|(binding, buffer)| wgpu::BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        })
        .collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout,
        entries: &entries,
    })
}
