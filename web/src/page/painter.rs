//! The page's end of the line to the worker that draws the stage on WebGPU.

use js_sys::{Array, ArrayBuffer, Function, Reflect, Uint8Array};
use noprop_stage::message::{Answer, Order};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ErrorEvent, HtmlCanvasElement, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::app::App;
use super::stage::{GRID, Placed};
use super::theme::{self, Theme};
use super::{dom, with_app};
use crate::logic::projection::Projection;
use crate::protocol::Trace;

/// The worker, and what it has been told.
pub struct Painter {
    worker: Worker,
    canvas: HtmlCanvasElement,
    ready: bool,
    told: Told,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(ErrorEvent)>,
}

/// Each order is given once: what the last one of each kind was about.
#[derive(Default)]
struct Told {
    light: Option<bool>,
    projection: Option<Projection>,
    /// Ids of the walks, main and second.
    walks: [Option<u32>; 2],
    /// Id of the field.
    field: Option<u32>,
    /// Canvas, share, cloud and field of the last frame.
    frame: Option<Order>,
}

impl Painter {
    /// Starts the worker; nothing where the browser has no canvas for it.
    pub fn open() -> Option<Self> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options("worker.js?worker-stage", &options).ok()?;
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(|event: MessageEvent| {
            let data = event.data();
            if !data.is_instance_of::<ArrayBuffer>() {
                with_app(|app| app.painter_shows(&data));
                return;
            }
            let answer =
                postcard::from_bytes(&Uint8Array::new(&data).to_vec()).unwrap_or_else(|_| {
                    Answer::Failed("page and stage are of different builds".into())
                });
            with_app(|app| app.painter_says(answer));
        });
        let on_error = Closure::<dyn FnMut(ErrorEvent)>::new(|event: ErrorEvent| {
            let why = dom::worker_error(&event);
            with_app(|app| app.painter_says(Answer::Failed(why)));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Some(Self {
            worker,
            canvas: dom::get("stage-gpu"),
            ready: false,
            told: Told::default(),
            _on_message: on_message,
            _on_error: on_error,
        })
    }

    /// Puts a picture on the canvas, without a copy.
    pub fn put(&self, bitmap: &JsValue) {
        // By name: web-sys's type for this context is one more feature, and another list of features
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

    /// The worker waits for orders.
    pub fn ready(&mut self) {
        self.ready = true;
    }

    /// Shows or hides its canvas; whether it draws.
    pub fn show(&self, wanted: bool) -> bool {
        let shown = self.ready && wanted;
        self.canvas.set_hidden(!shown);
        shown
    }

    /// Has everything drawn but the labels.
    pub fn draw(&mut self, app: &App, projection: &Projection, placed: &Placed) {
        self.tell_style();
        self.tell_plane(projection);
        self.tell_walk(0, app.trace.as_ref());
        self.tell_walk(1, app.second.as_ref());
        self.tell_field(app);
        let steps = app.clock.steps().max(1) as f64;
        let frame = Order::Frame {
            size: placed.pixels,
            radius: (placed.radius * placed.ratio) as f32,
            ratio: placed.ratio as f32,
            share: (app.clock.position / steps) as f32,
            cloud: placed.cloud,
            field: placed.field,
        };
        if self.told.frame.as_ref() != Some(&frame) {
            self.send(&frame);
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
        self.send(&Order::Style {
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
        self.send(&Order::Plane {
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

    fn tell_walk(&mut self, which: usize, trace: Option<&Trace>) {
        let id = trace.map(|trace| trace.id);
        if self.told.walks[which] == id {
            return;
        }
        let (latents, classes, steps) = trace.map_or((Vec::new(), Vec::new(), 0), |trace| {
            let steps = trace.times.len() as u32 - 1;
            (trace.latents.clone(), trace.predictions.clone(), steps)
        });
        self.send(&Order::Walk {
            second: which == 1,
            latents,
            classes,
            steps,
        });
        self.told.walks[which] = id;
        self.told.frame = None;
    }

    fn tell_field(&mut self, app: &App) {
        let Some((points, field)) = &app.field else {
            return;
        };
        if self.told.field == Some(field.id) || field.belief.is_empty() {
            return;
        }
        let mut arrows = vec![None; GRID * GRID];
        let samples = field.velocity.chunks(2).zip(&field.belief);
        for ([x, y], (velocity, &class)) in points.iter().zip(samples) {
            let index = |v: f32| (0.5 * (v + 1.0) * (GRID - 1) as f32).round() as usize;
            arrows[index(*y) * GRID + index(*x)] = Some(([velocity[0], velocity[1]], class));
        }
        self.send(&Order::Field {
            grid: GRID as u32,
            arrows,
        });
        self.told.field = Some(field.id);
        self.told.frame = None;
    }

    fn send(&self, order: &Order) {
        if let Ok(bytes) = postcard::to_stdvec(order) {
            let buffer = Uint8Array::from(bytes.as_slice()).buffer();
            let _ = self
                .worker
                .post_message_with_transfer(&buffer, &Array::of1(&buffer));
        }
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        self.canvas.set_hidden(true);
        self.worker.terminate();
    }
}
