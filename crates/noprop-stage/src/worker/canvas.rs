//! A texture that WebGPU draws frames on, and the copy of its pixels to the host.

use crate::message::Order;
use crate::{Arrow, Field, Frame, Plane, RecordedWalks, Renderer, Style, WalkRole};

/// The device, the renderer and the picture: the last drawn frame.
pub struct Canvas {
    device: wgpu::Device,
    queue: wgpu::Queue,
    renderer: Renderer,
    picture: Option<Picture>,
    /// Whether a picture is on its way to the host.
    busy: bool,
    /// The newest frame that was asked for while a picture was on its way.
    waiting: Option<([u32; 2], Frame)>,
}

/// A drawn frame: a texture, and the buffer that carries it to the host.
struct Picture {
    size: [u32; 2],
    texture: wgpu::Texture,
    buffer: wgpu::Buffer,
}

/// The format of the texture. Colours are blended as Canvas 2D blends them: in sRGB, not in linear light.
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

/// The style until the page sends its theme.
const NO_STYLE: Style = Style {
    ink: [0.0; 3],
    quiet: [0.0; 3],
    line: [0.0; 3],
    paper: [0.0; 3],
    hues: [[0.0; 3]; 10],
};

impl Canvas {
    /// Opens a device. `lost` is called with a message if the device is lost.
    pub async fn open(lost: fn(String)) -> Result<Self, String> {
        let adapter = wgpu::Instance::default()
            .request_adapter(&wgpu::RequestAdapterOptions::default())
            .await
            .map_err(|error| error.to_string())?;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor::default())
            .await
            .map_err(|error| error.to_string())?;
        device.set_device_lost_callback(move |_, message| lost(message));
        let renderer = Renderer::new(device.clone(), queue.clone(), FORMAT, NO_STYLE);
        Ok(Self {
            device,
            queue,
            renderer,
            picture: None,
            busy: false,
            waiting: None,
        })
    }

    /// Carries out an order; a frame waits for [`Self::draw`].
    pub fn obey(&mut self, order: Order) {
        match order {
            Order::Style {
                ink,
                quiet,
                line,
                paper,
                hues,
            } => self.renderer.set_style(Style {
                ink,
                quiet,
                line,
                paper,
                hues,
            }),
            Order::Plane { axes, centre, half } => self.renderer.set_plane(&Plane {
                axes: &axes,
                centre: &centre,
                half,
            }),
            Order::Walk {
                second,
                latents,
                classes,
                steps,
            } => {
                let role = if second {
                    WalkRole::Second
                } else {
                    WalkRole::Main
                };
                let walk = RecordedWalks {
                    latents: &latents,
                    classes: &classes,
                    steps,
                };
                let walk = (!latents.is_empty()).then_some(&walk);
                self.renderer.set_walk(role, walk);
            }
            Order::Field { grid, arrows } => {
                let arrows: Vec<Arrow> = arrows
                    .into_iter()
                    .map(|arrow| Arrow {
                        velocity: arrow.map_or([0.0; 2], |(velocity, _)| velocity),
                        class: arrow.map(|(_, class)| class),
                    })
                    .collect();
                self.renderer.set_field(&Field {
                    grid,
                    arrows: &arrows,
                });
            }
            Order::Frame {
                size,
                radius,
                ratio,
                share,
                cloud,
                field,
            } => {
                let frame = Frame {
                    size: size.map(|pixels| pixels as f32),
                    radius,
                    ratio,
                    share,
                    cloud,
                    field,
                };
                self.waiting = Some((size, frame));
            }
        }
    }

    /// Draws the frame that waits, unless the last picture is still on its way to the host. `drawn` is called
    /// when the new picture has arrived.
    pub fn draw(&mut self, drawn: fn()) {
        if self.busy {
            return;
        }
        let Some((size, frame)) = self.waiting.take() else {
            return;
        };
        let size = size.map(|pixels| pixels.max(1));
        let picture = match self.picture.take().filter(|picture| picture.size == size) {
            Some(picture) => picture,
            None => Picture::new(&self.device, size),
        };
        let view = picture.texture.create_view(&Default::default());
        self.renderer.draw(&view, &frame);
        picture.fetch(&self.device, &self.queue);
        // A mapping that fails is noticed when the picture is read.
        let report = move |_| drawn();
        picture.buffer.map_async(wgpu::MapMode::Read, .., report);
        self.busy = true;
        self.picture = Some(picture);
    }

    /// The width and the pixels `[height, width, 4]` of the picture that has arrived.
    pub fn picture(&mut self) -> Result<(u32, Vec<u8>), String> {
        self.busy = false;
        let picture = self.picture.as_ref().ok_or("nothing was drawn")?;
        let [width, _] = picture.size;
        let view = picture.buffer.get_mapped_range(..);
        let view = view.map_err(|error| error.to_string())?;
        let rows = view.chunks(picture.stride() as usize);
        let mut pixels: Vec<u8> = rows
            .flat_map(|row| &row[..4 * width as usize])
            .copied()
            .collect();
        drop(view);
        picture.buffer.unmap();
        unmultiply(&mut pixels);
        Ok((width, pixels))
    }
}

impl Picture {
    fn new(device: &wgpu::Device, size: [u32; 2]) -> Self {
        let [width, height] = size;
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("stage"),
            size: wgpu::Extent3d {
                width,
                height,
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("stage on the host"),
            size: u64::from(stride(width)) * u64::from(height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        Self {
            size,
            texture,
            buffer,
        }
    }

    /// The number of bytes from one row of the buffer to the next.
    fn stride(&self) -> u32 {
        stride(self.size[0])
    }

    /// Copies the texture into the buffer.
    fn fetch(&self, device: &wgpu::Device, queue: &wgpu::Queue) {
        let mut encoder = device.create_command_encoder(&Default::default());
        let to = wgpu::TexelCopyBufferInfo {
            buffer: &self.buffer,
            layout: wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(self.stride()),
                rows_per_image: None,
            },
        };
        let from = self.texture.as_image_copy();
        encoder.copy_texture_to_buffer(from, to, self.texture.size());
        queue.submit([encoder.finish()]);
    }
}

fn stride(width: u32) -> u32 {
    (4 * width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT)
}

/// Turns premultiplied alpha into straight alpha, as `ImageData` expects it. Only pixels at edges change.
fn unmultiply(pixels: &mut [u8]) {
    for pixel in pixels.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        if (1..255).contains(&alpha) {
            for channel in &mut pixel[..3] {
                *channel = (u32::from(*channel) * 255 / alpha).min(255) as u8;
            }
        }
    }
}
