//! The stage: labels on a ring, the walk of z_t, its cloud, the field behind.

use std::f64::consts::TAU;

use noprop_core::predicted_class;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::app::App;
use super::dom;
use super::painter::Painter;
use super::theme::{self, Theme};
use crate::logic::names::is_word;
use crate::logic::projection::Projection;
use crate::protocol::Trace;

/// Points of the field along the disc's diameter.
pub const GRID: usize = 25;

/// What the stage shows.
pub struct View {
    /// The cloud of other noise seeds.
    pub cloud: bool,
    /// The velocity field.
    pub field: bool,
}

/// The canvas and what is on it.
pub struct Stage {
    canvas: HtmlCanvasElement,
    /// What it shows.
    pub view: View,
}

/// How the stage lies on its canvas.
pub struct Placed {
    /// Canvas size, device pixels.
    pub pixels: [u32; 2],
    /// Device pixels per CSS pixel.
    pub ratio: f64,
    /// Radius of the disc, CSS pixels.
    pub radius: f64,
    /// Whether the cloud is shown.
    pub cloud: bool,
    /// Whether the field is shown.
    pub field: bool,
}

impl Stage {
    /// The stage of index.html.
    pub fn new() -> Self {
        Self {
            canvas: dom::get("stage"),
            view: View {
                cloud: true,
                field: false,
            },
        }
    }

    /// Points on the unit disc at which the field is sampled.
    pub fn field_points(&self) -> Vec<[f32; 2]> {
        let coordinate = |i: usize| 2.0 * i as f32 / (GRID - 1) as f32 - 1.0;
        (0..GRID * GRID)
            .map(|k| [coordinate(k % GRID), coordinate(k / GRID)])
            .filter(|[x, y]| x.hypot(*y) < 1.04)
            .collect()
    }

    /// Draws `app` at its clock's position; `painter` takes all but the labels where it can.
    pub fn draw(&self, app: &App, painter: Option<&mut Painter>) {
        let (width, height, ratio) = dom::fit(&self.canvas);
        let context = dom::context(&self.canvas);
        let _ = context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0);
        context.clear_rect(0.0, 0.0, width, height);
        let Some(projection) = &app.projection else {
            return;
        };
        let scene = Scene {
            context,
            theme: Theme::read(),
            projection,
            middle: (width / 2.0, height / 2.0),
            radius: 0.5 * width.min(height) - 14.0,
        };
        if let Some(painter) = painter
            && painter.show(app.computes_on_gpu())
        {
            let placed = Placed {
                pixels: [self.canvas.width(), self.canvas.height()],
                ratio,
                radius: scene.radius,
                cloud: self.view.cloud,
                field: self.view.field,
            };
            painter.draw(app, projection, &placed);
            scene.labels(app);
            return;
        }
        scene.disc();
        if self.view.field
            && let Some((points, field)) = &app.field
        {
            scene.field(points, &field.velocity, &field.belief);
        }
        if let Some(trace) = &app.trace {
            let position = app.clock.position;
            if self.view.cloud {
                scene.cloud(trace, position);
            }
            if let Some(second) = &app.second {
                let steps = (second.times.len() - 1) as f64;
                let same = position / app.clock.steps().max(1) as f64 * steps;
                scene.walk(second, same, true);
            }
            scene.walk(trace, position, false);
        }
        scene.labels(app);
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
    /// From the unit disc to the canvas.
    fn place(&self, [x, y]: [f32; 2]) -> (f64, f64) {
        (
            self.middle.0 + self.radius * f64::from(x),
            self.middle.1 + self.radius * f64::from(y),
        )
    }

    /// z of seed `s` at `position`, between steps on the straight line.
    fn at(&self, trace: &Trace, s: usize, position: f64) -> (f64, f64) {
        let d = self.projection.axes().len() / 2;
        let steps = trace.times.len() - 1;
        let position = position.clamp(0.0, steps as f64);
        let k = (position as usize).min(steps.saturating_sub(1));
        let part = (position - k as f64) as f32;
        let z = |k: usize| {
            let start = (s * (steps + 1) + k.min(steps)) * d;
            &trace.latents[start..start + d]
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

    /// A circle that is drawn out to both sides by `reach`.
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

    fn field(&self, points: &[[f32; 2]], velocity: &[f32], belief: &[u32]) {
        let context = &self.context;
        let cell = 2.0 * self.radius / (GRID - 1) as f64;
        context.save();
        self.circle(self.middle, self.radius - 0.5);
        context.clip();
        for ((point, velocity), &class) in points.iter().zip(velocity.chunks(2)).zip(belief) {
            let (x, y) = self.place(*point);
            context.set_global_alpha(0.12);
            context.set_fill_style_str(theme::hue(class as usize));
            context.fill_rect(x - cell / 2.0, y - cell / 2.0, cell, cell);

            // The direction on the disc: where a small step in the plane leads.
            let here = self.projection.expand(*point);
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
                // As in the cloud, the dot goes ahead of its line.
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

    fn cloud(&self, trace: &Trace, position: f64) {
        let context = &self.context;
        for (s, &class) in trace.predictions.iter().enumerate().skip(1) {
            let here = self.at(trace, s, position);
            let before = self.at(trace, s, position - 0.06 * (trace.times.len() - 1) as f64);
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

    /// The main walk, or the one that it is compared with: a trail that fades, and a dot.
    fn walk(&self, trace: &Trace, position: f64, second: bool) {
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
        let mut from = self.at(trace, 0, 0.0);
        for piece in 1..=pieces as usize {
            let to = self.at(trace, 0, position * piece as f64 / pieces);
            context.set_global_alpha(0.12 + 0.75 * piece as f64 / pieces);
            context.begin_path();
            context.move_to(from.0, from.1);
            context.line_to(to.0, to.1);
            context.stroke();
            from = to;
        }
        context.set_global_alpha(1.0);
        let dot = self.at(trace, 0, position);
        context.set_fill_style_str(colour);
        self.circle(dot, if second { 5.0 } else { 7.5 });
        context.fill();
        context.set_stroke_style_str(&self.theme.paper);
        context.set_line_width(2.0);
        context.stroke();
    }

    /// The class embeddings, the one that is believed at this step emphasised.
    fn labels(&self, app: &App) {
        let (Some(model), context) = (&app.model, &self.context) else {
            return;
        };
        let d = model.latent_dim as usize;
        let m = model.classes.len();
        let believed = app.trace.as_ref().map(|trace| {
            let k = app.clock.step().min(trace.times.len() - 1);
            predicted_class(&trace.probabilities[k * m..(k + 1) * m])
        });
        context.set_text_align("center");
        context.set_text_baseline("middle");
        for (k, (embedding, name)) in model.embeddings.chunks(d).zip(&model.classes).enumerate() {
            let (x, y) = self.place(self.projection.disc(embedding));
            let chosen = believed == Some(k);
            // On a phone words would hide each other.
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
            // A disc around a number; a word makes it as long as it has to be.
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
