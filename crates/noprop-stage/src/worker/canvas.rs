//! A canvas that WebGPU draws on.

use web_sys::OffscreenCanvas;

use crate::message::Order;
use crate::{Arrow, Field, Frame, Plane, Renderer, Style, Walk, Which};

/// Canvas, device and renderer.
pub struct Canvas {
    surface: wgpu::Surface<'static>,
    device: wgpu::Device,
    queue: wgpu::Queue,
    config: wgpu::SurfaceConfiguration,
    renderer: Renderer,
    /// The frame that waits to be drawn.
    waiting: Option<([u32; 2], Frame)>,
}

/// Until the page says its theme.
const NO_STYLE: Style = Style {
    ink: [0.0; 3],
    quiet: [0.0; 3],
    line: [0.0; 3],
    paper: [0.0; 3],
    hues: [[0.0; 3]; 10],
};

impl Canvas {
    /// Opens a device for `canvas`; `lost` hears when it goes.
    pub async fn open(canvas: OffscreenCanvas, lost: fn(String)) -> Result<Self, String> {
        let instance = wgpu::Instance::default();
        let surface = instance
            .create_surface(wgpu::SurfaceTarget::OffscreenCanvas(canvas))
            .map_err(|error| error.to_string())?;
        let options = wgpu::RequestAdapterOptions {
            compatible_surface: Some(&surface),
            ..Default::default()
        };
        let adapter = instance
            .request_adapter(&options)
            .await
            .map_err(|error| error.to_string())?;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor::default())
            .await
            .map_err(|error| error.to_string())?;
        device.set_device_lost_callback(move |_, message| lost(message));
        let mut config = surface
            .get_default_config(&adapter, 1, 1)
            .ok_or("the adapter cannot draw on this canvas")?;
        // As Canvas 2D mixes colours: in sRGB, not in light.
        config.format = config.format.remove_srgb_suffix();
        config.alpha_mode = wgpu::CompositeAlphaMode::PreMultiplied;
        let renderer = Renderer::new(device.clone(), queue.clone(), config.format, NO_STYLE);
        Ok(Self {
            surface,
            device,
            queue,
            config,
            renderer,
            waiting: None,
        })
    }

    /// Takes an order; whether a frame is to be drawn from now on.
    pub fn obey(&mut self, order: Order) -> bool {
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
                let which = if second { Which::Second } else { Which::Main };
                let walk = Walk {
                    latents: &latents,
                    classes: &classes,
                    steps,
                };
                let walk = (!latents.is_empty()).then_some(&walk);
                self.renderer.set_walk(which, walk);
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
                return self.waiting.replace((size, frame)).is_none();
            }
        }
        false
    }

    /// Draws the frame that waits.
    pub fn draw(&mut self) -> Result<(), String> {
        use wgpu::CurrentSurfaceTexture::{Occluded, Suboptimal, Success, Timeout};

        let Some(([width, height], frame)) = self.waiting.take() else {
            return Ok(());
        };
        let size = (width.max(1), height.max(1));
        if (self.config.width, self.config.height) != size {
            (self.config.width, self.config.height) = size;
            self.surface.configure(&self.device, &self.config);
        }
        let texture = match self.surface.get_current_texture() {
            Success(texture) | Suboptimal(texture) => texture,
            // Nobody sees this frame; the next one is drawn again.
            Timeout | Occluded => return Ok(()),
            other => return Err(format!("the canvas gives no picture to draw on: {other:?}")),
        };
        let view = texture.texture.create_view(&Default::default());
        self.renderer.draw(&view, &frame);
        self.queue.present(texture);
        Ok(())
    }
}
