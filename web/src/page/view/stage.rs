//! The stage: labels on a ring, the walk of z_t, its cloud, and the field behind them.

use std::f64::consts::TAU;

use noprop_core::predicted_class;
use noprop_protocol::{Field, Walked};
use noprop_stage::message::Answer;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::painter::{Painted, Painter, Placed};
use super::theme::{self, Theme};
use crate::logic::projection::Projection;
use crate::logic::state::{GRID, State, field_points};
use crate::logic::test_images::is_word;
use crate::page::dom;

/// The canvas, and below it another one that a worker draws on WebGPU.
pub struct Stage {
    canvas: HtmlCanvasElement,
    painter: Option<Painter>,
    /// Whether drawing on WebGPU failed; it is not tried again.
    painter_failed: bool,
}

impl Stage {
    /// The stage of `index.html`, drawn on Canvas 2D.
    pub fn new() -> Self {
        Self {
            canvas: dom::get("stage"),
            painter: None,
            painter_failed: false,
        }
    }

    /// Starts the worker that draws on WebGPU, unless there is one or it has failed. `receive` gets its messages.
    pub fn open_painter(&mut self, receive: impl Fn(Painted) + Clone + 'static) {
        if self.painter.is_none() && !self.painter_failed {
            self.painter = Painter::open(receive);
        }
    }

    /// Handles a message of the worker. Returns whether the stage has to be drawn again.
    pub fn painted(&mut self, message: Painted) -> bool {
        match message {
            Painted::Picture(bitmap) => {
                if let Some(painter) = &self.painter {
                    painter.put(&bitmap);
                }
                return false;
            }
            Painted::Answer(Answer::Ready) => {
                if let Some(painter) = &mut self.painter {
                    painter.ready();
                }
            }
            Painted::Answer(Answer::Failed(why)) => {
                // Canvas 2D gives the same picture, so a line in the console is enough.
                dom::warn(&format!("the stage is drawn without WebGPU: {why}"));
                self.painter = None;
                self.painter_failed = true;
            }
        }
        true
    }

    /// Draws `state` at the position of its clock. If `on_gpu` is true and possible, WebGPU draws all but the labels.
    pub fn draw(&mut self, state: &State, on_gpu: bool) {
        let (width, height, ratio) = dom::fit(&self.canvas);
        let context = dom::context(&self.canvas);
        let _ = context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0);
        context.clear_rect(0.0, 0.0, width, height);
        let Some(projection) = &state.projection else {
            return;
        };
        let scene = Scene {
            context,
            theme: Theme::read(),
            projection,
            middle: (width / 2.0, height / 2.0),
            radius: 0.5 * width.min(height) - 14.0,
        };
        if let Some(painter) = &mut self.painter
            && painter.show(on_gpu)
        {
            let placed = Placed {
                pixels: [self.canvas.width(), self.canvas.height()],
                ratio,
                radius: scene.radius,
            };
            painter.draw(state, projection, &placed);
        } else {
            scene.draw(state);
        }
        scene.labels(state);
    }
}

struct Scene<'a> {
    context: CanvasRenderingContext2d,
    theme: Theme,
    projection: &'a Projection,
    middle: (f64, f64),
    radius: f64,
}

impl Scene<'_> {
    /// Draws everything but the labels.
    fn draw(&self, state: &State) {
        self.disc();
        if let Some(field) = &state.field {
            self.field(field);
        }
        let Some(walked) = &state.walked else {
            return;
        };
        let position = state.clock.position;
        if state.shows_cloud {
            self.cloud(walked, position);
        }
        if let Some(compared) = &state.compared {
            let share = position / state.clock.steps().max(1) as f64;
            self.walk(compared, share * compared.steps() as f64, true);
        }
        self.walk(walked, position, false);
    }

    /// Maps a point of the unit disc to the canvas.
    fn place(&self, [x, y]: [f32; 2]) -> (f64, f64) {
        (
            self.middle.0 + self.radius * f64::from(x),
            self.middle.1 + self.radius * f64::from(y),
        )
    }

    /// The place on the canvas of z of seed `s` at `position`; between two steps it lies on a straight line.
    fn at(&self, walked: &Walked, s: usize, position: f64) -> (f64, f64) {
        let d = self.projection.axes().len() / 2;
        let steps = walked.steps();
        let position = position.clamp(0.0, steps as f64);
        let k = (position as usize).min(steps.saturating_sub(1));
        let part = (position - k as f64) as f32;
        let z = |k: usize| {
            let start = (s * (steps + 1) + k.min(steps)) * d;
            &walked.latents[start..start + d]
        };
        let (from, to) = (z(k), z(k + 1));
        let between: Vec<f32> = from
            .iter()
            .zip(to)
            .map(|(a, b)| a + part * (b - a))
            .collect();
        self.place(self.projection.disc(&between))
    }

    fn circle(&self, (x, y): (f64, f64), radius: f64) {
        self.context.begin_path();
        let _ = self.context.arc(x, y, radius, 0.0, TAU);
    }

    /// Traces a circle that is stretched by `reach` to both sides.
    fn pill(&self, (x, y): (f64, f64), reach: f64, radius: f64) {
        self.context.begin_path();
        let half = TAU / 4.0;
        let _ = self.context.arc(x + reach, y, radius, -half, half);
        let _ = self.context.arc(x - reach, y, radius, half, 3.0 * half);
        self.context.close_path();
    }

    fn disc(&self) {
        let context = &self.context;
        context.set_fill_style_str(&self.theme.paper);
        self.circle(self.middle, self.radius);
        context.fill();
        context.set_stroke_style_str(&self.theme.line);
        context.set_line_width(1.0);
        for share in [0.25, 0.5, 0.75, 1.0] {
            self.circle(self.middle, self.radius * share);
            context.stroke();
        }
    }

    fn field(&self, field: &Field) {
        let context = &self.context;
        let cell = 2.0 * self.radius / (GRID - 1) as f64;
        context.save();
        self.circle(self.middle, self.radius - 0.5);
        context.clip();
        let samples = field.velocity.chunks(2).zip(&field.belief);
        for (point, (velocity, &class)) in field_points().zip(samples) {
            let (x, y) = self.place(point);
            context.set_global_alpha(0.12);
            context.set_fill_style_str(theme::hue(class as usize));
            context.fill_rect(x - cell / 2.0, y - cell / 2.0, cell, cell);

            // The direction on the disc is that in which a small step in the plane leads.
            let here = self.projection.expand(point);
            let to = self
                .projection
                .compress([here[0] + 0.05 * velocity[0], here[1] + 0.05 * velocity[1]]);
            let (dx, dy) = (f64::from(to[0] - point[0]), f64::from(to[1] - point[1]));
            let length = dx.hypot(dy);
            if length > 1e-7 {
                let reach = 0.42 * cell * (length / (length + 0.004)) / length;
                context.set_global_alpha(0.55);
                context.set_stroke_style_str(&self.theme.quiet);
                context.begin_path();
                // The dot goes ahead of its line, as in the cloud.
                let tip = (x + 0.5 * dx * reach, y + 0.5 * dy * reach);
                context.move_to(x - 0.5 * dx * reach, y - 0.5 * dy * reach);
                context.line_to(tip.0, tip.1);
                context.stroke();
                context.set_fill_style_str(&self.theme.quiet);
                self.circle(tip, 1.4);
                context.fill();
            }
        }
        context.restore();
    }

    fn cloud(&self, walked: &Walked, position: f64) {
        let context = &self.context;
        for (s, &class) in walked.predictions.iter().enumerate().skip(1) {
            let here = self.at(walked, s, position);
            let before = self.at(walked, s, position - 0.06 * walked.steps() as f64);
            context.set_stroke_style_str(theme::hue(class as usize));
            context.set_global_alpha(0.25);
            context.set_line_width(1.5);
            context.begin_path();
            context.move_to(before.0, before.1);
            context.line_to(here.0, here.1);
            context.stroke();
            context.set_global_alpha(0.6);
            context.set_fill_style_str(theme::hue(class as usize));
            self.circle(here, 2.4);
            context.fill();
        }
        context.set_global_alpha(1.0);
    }

    /// Draws the main walk, or the `second` walk with which it is compared: a trail that fades, and a dot.
    fn walk(&self, walked: &Walked, position: f64, second: bool) {
        let context = &self.context;
        let colour = if second {
            &self.theme.quiet
        } else {
            &self.theme.ink
        };
        let pieces = (position * 4.0).ceil().clamp(1.0, 160.0);
        context.set_line_cap("butt");
        context.set_stroke_style_str(colour);
        context.set_line_width(if second { 1.5 } else { 2.5 });
        let mut from = self.at(walked, 0, 0.0);
        for piece in 1..=pieces as usize {
            let to = self.at(walked, 0, position * piece as f64 / pieces);
            context.set_global_alpha(0.12 + 0.75 * piece as f64 / pieces);
            context.begin_path();
            context.move_to(from.0, from.1);
            context.line_to(to.0, to.1);
            context.stroke();
            from = to;
        }
        context.set_global_alpha(1.0);
        let dot = self.at(walked, 0, position);
        context.set_fill_style_str(colour);
        self.circle(dot, if second { 5.0 } else { 7.5 });
        context.fill();
        context.set_stroke_style_str(&self.theme.paper);
        context.set_line_width(2.0);
        context.stroke();
    }

    /// Draws the class embeddings, and emphasises the class that is predicted at this step.
    fn labels(&self, state: &State) {
        let (Some(model), context) = (&state.model, &self.context) else {
            return;
        };
        let d = model.latent_dim as usize;
        let m = model.classes.len();
        let predicted = state.walked.as_ref().map(|walked| {
            let k = state.clock.step().min(walked.steps());
            predicted_class(&walked.probabilities[k * m..(k + 1) * m])
        });
        context.set_text_align("center");
        context.set_text_baseline("middle");
        for (k, (embedding, name)) in model.embeddings.chunks(d).zip(&model.classes).enumerate() {
            let (x, y) = self.place(self.projection.disc(embedding));
            let chosen = predicted == Some(k);
            // On a phone, words would hide each other.
            let narrow = self.radius < 180.0;
            let (radius, size) = match (is_word(name), chosen, narrow) {
                (false, false, _) => (13.0, 14),
                (false, true, _) => (17.0, 18),
                (true, false, true) => (8.0, 10),
                (true, false, false) => (11.0, 12),
                (true, true, true) => (11.0, 12),
                (true, true, false) => (14.0, 15),
            };
            context.set_font(&format!("600 {size}px system-ui, sans-serif"));
            // A label is a disc around a number; a word stretches the disc.
            let width = context.measure_text(name).map_or(0.0, |text| text.width());
            let reach = if is_word(name) { width / 2.0 } else { 0.0 };
            let edge = reach + radius + 2.0;
            let x = x.clamp(edge, (2.0 * self.middle.0 - edge).max(edge));
            context.set_fill_style_str(theme::hue(k));
            self.pill((x, y), reach, radius);
            context.fill();
            if chosen {
                context.set_stroke_style_str(&self.theme.ink);
                context.set_line_width(2.5);
                context.stroke();
            }
            context.set_fill_style_str(theme::ink_on(k));
            let _ = context.fill_text(name, x, y + 1.0);
        }
    }
}
