//! The stage on WebGPU, drawn by a worker of its own.

use js_sys::{ArrayBuffer, Function, Reflect};
use noprop_protocol::{Field, Walked, decode};
use noprop_stage::message::{Answer, Order};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::HtmlCanvasElement;

use super::theme::{self, Theme};
use crate::logic::projection::Projection;
use crate::logic::state::{GRID, State, field_points};
use crate::page::dom;
use crate::page::workers::{self, WorkerHandle};

/// The worker that draws, and the orders that it was given.
pub struct Painter {
    worker: WorkerHandle,
    canvas: HtmlCanvasElement,
    ready: bool,
    told: Told,
}

/// The subject of the last order of each kind, so that no order is given twice.
#[derive(Default)]
struct Told {
    light: Option<bool>,
    projection: Option<Projection>,
    /// Ids of the walks, main and compared.
    walks: [Option<u32>; 2],
    /// Id of the field.
    field: Option<u32>,
    /// The last [`Order::Frame`].
    frame: Option<Order>,
}

/// The place of the stage on its canvas.
pub struct Placed {
    /// The size of the canvas in device pixels.
    pub pixels: [u32; 2],
    /// The number of device pixels per CSS pixel.
    pub ratio: f64,
    /// The radius of the disc in CSS pixels.
    pub radius: f64,
}

/// A message from the worker.
pub enum Painted {
    /// The worker is ready, or has failed.
    Answer(Answer),
    /// The worker has drawn a picture, an `ImageBitmap` for [`Painter::put`].
    Picture(JsValue),
}

impl Painter {
    /// Starts the worker and gives its messages to `receive`; returns `None` if the browser starts no worker.
    pub fn open(receive: impl Fn(Painted) + Clone + 'static) -> Option<Self> {
        let worker = WorkerHandle::open("worker-stage", move |data| {
            receive(match data {
                Ok(data) if data.is_instance_of::<ArrayBuffer>() => {
                    Painted::Answer(decode(&workers::bytes(&data)).unwrap_or_else(|_| {
                        Answer::Failed("page and stage are of different builds".into())
                    }))
                }
                Ok(bitmap) => Painted::Picture(bitmap),
                Err(why) => Painted::Answer(Answer::Failed(why)),
            });
        });
        Some(Self {
            worker: worker.ok()?,
            canvas: dom::get("stage-gpu"),
            ready: false,
            told: Told::default(),
        })
    }

    /// Puts a picture on the canvas, without a copy.
    pub fn put(&self, bitmap: &JsValue) {
        // The context is called by name: web-sys has its type behind one more feature, and another list of features
        // compiles the engine anew.
        let Ok(Some(context)) = self.canvas.get_context("bitmaprenderer") else {
            return;
        };
        if let Ok(transfer) = Reflect::get(&context, &dom::js("transferFromImageBitmap"))
            && let Some(transfer) = transfer.dyn_ref::<Function>()
        {
            let _ = transfer.call1(&context, bitmap);
        }
    }

    /// Notes that the worker waits for orders.
    pub fn ready(&mut self) {
        self.ready = true;
    }

    /// Shows or hides the canvas. Returns whether it is shown.
    pub fn show(&self, wanted: bool) -> bool {
        let shown = self.ready && wanted;
        self.canvas.set_hidden(!shown);
        shown
    }

    /// Orders the worker to draw everything but the labels.
    pub fn draw(&mut self, state: &State, projection: &Projection, placed: &Placed) {
        self.tell_style();
        self.tell_plane(projection);
        self.tell_walk(0, state.walked.as_ref());
        self.tell_walk(1, state.compared.as_ref());
        if let Some(field) = &state.field {
            self.tell_field(field);
        }
        let steps = state.clock.steps().max(1) as f64;
        let frame = Order::Frame {
            size: placed.pixels,
            radius: (placed.radius * placed.ratio) as f32,
            ratio: placed.ratio as f32,
            share: (state.clock.position / steps) as f32,
            cloud: state.shows_cloud,
            field: state.field.is_some(),
        };
        if self.told.frame.as_ref() != Some(&frame) {
            self.worker.send(&frame);
            self.told.frame = Some(frame);
        }
    }

    fn tell_style(&mut self) {
        let light = theme::is_light();
        if self.told.light == Some(light) {
            return;
        }
        let Theme {
            ink,
            quiet,
            line,
            paper,
        } = Theme::read();
        self.worker.send(&Order::Style {
            ink: theme::channels(&ink),
            quiet: theme::channels(&quiet),
            line: theme::channels(&line),
            paper: theme::channels(&paper),
            hues: std::array::from_fn(|class| theme::channels(theme::hue(class))),
        });
        self.told.light = Some(light);
        self.told.frame = None;
    }

    fn tell_plane(&mut self, projection: &Projection) {
        if self.told.projection.as_ref() == Some(projection) {
            return;
        }
        self.worker.send(&Order::Plane {
            axes: projection.axes().to_vec(),
            centre: projection.centre().to_vec(),
            half: projection.half(),
        });
        self.told = Told {
            light: self.told.light,
            projection: Some(projection.clone()),
            ..Told::default()
        };
    }

    fn tell_walk(&mut self, which: usize, walked: Option<&Walked>) {
        let id = walked.map(|walked| walked.id);
        if self.told.walks[which] == id {
            return;
        }
        self.worker.send(&Order::Walk {
            second: which == 1,
            latents: walked.map_or(Vec::new(), |walked| walked.latents.clone()),
            classes: walked.map_or(Vec::new(), |walked| walked.predictions.clone()),
            steps: walked.map_or(0, |walked| walked.steps() as u32),
        });
        self.told.walks[which] = id;
        self.told.frame = None;
    }

    fn tell_field(&mut self, field: &Field) {
        if self.told.field == Some(field.id) {
            return;
        }
        let mut arrows = vec![None; GRID * GRID];
        let samples = field.velocity.chunks(2).zip(&field.belief);
        for ([x, y], (velocity, &class)) in field_points().zip(samples) {
            let index = |v: f32| (0.5 * (v + 1.0) * (GRID - 1) as f32).round() as usize;
            arrows[index(y) * GRID + index(x)] = Some(([velocity[0], velocity[1]], class));
        }
        self.worker.send(&Order::Field {
            grid: GRID as u32,
            arrows,
        });
        self.told.field = Some(field.id);
        self.told.frame = None;
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        self.canvas.set_hidden(true);
    }
}
