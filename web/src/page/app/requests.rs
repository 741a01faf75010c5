//! What the worker is asked. Each request has an id; an answer to an older one is dropped.

use super::super::{digits, panels};
use super::{App, CLOUD};
use crate::protocol::{Field, Request};

impl App {
    pub(super) fn ask_traces(&mut self) {
        let (Some(pixels), true) = (self.pixels(), self.model.is_some()) else {
            return;
        };
        panels::picture(&pixels, self.settings.dataset.shape());
        digits::mark(&self.settings.picture);
        let id = self.next_id();
        self.expected.trace = id;
        self.second = None;
        let seeds = if self.stage.view.cloud { CLOUD } else { 1 };
        self.send(&Request::Trace {
            id,
            pixels,
            walk: self.settings.walk,
            seeds,
        });
    }

    pub(super) fn ask_second(&mut self) {
        let (Some(pixels), Some(walk)) = (self.pixels(), self.settings.second_walk()) else {
            return;
        };
        let id = self.next_id();
        self.expected.second = id;
        self.send(&Request::Trace {
            id,
            pixels,
            walk,
            seeds: 1,
        });
    }

    /// Asks for the field at the present step, one at a time.
    pub(super) fn ask_field(&mut self) {
        if !self.stage.view.field {
            self.field = None;
            return;
        }
        let step = self.clock.step();
        let (Some(trace), Some(projection), Some(pixels)) =
            (&self.trace, &self.projection, self.pixels())
        else {
            return;
        };
        // An id for each state that a field belongs to: asking twice for one is idle.
        let wanted = trace.id.wrapping_mul(1000) + step as u32 + 1;
        if self.expected.field_pending || self.expected.field == wanted {
            return;
        }
        let d = projection.axes().len() / 2;
        let z = &trace.latents[step * d..(step + 1) * d];
        let disc = self.stage.field_points();
        let points = disc.iter().flat_map(|&p| projection.expand(p)).collect();
        let request = Request::Field {
            id: wanted,
            pixels,
            t: trace.times[step],
            axes: projection.axes().to_vec(),
            origin: projection.origin_through(z),
            points,
        };
        let empty = Field {
            id: wanted,
            velocity: Vec::new(),
            belief: Vec::new(),
        };
        if self.field.is_none() {
            self.field = Some((disc, empty));
        }
        self.expected.field = wanted;
        self.expected.field_pending = true;
        self.send(&request);
    }

    /// Classifies the test images.
    pub fn evaluate(&mut self) {
        let id = self.next_id();
        self.expected.accuracy = id;
        self.evaluated = self.settings.walk;
        panels::evaluation_began();
        self.send(&Request::Accuracy {
            id,
            walk: self.settings.walk,
        });
    }

    /// Stops that.
    pub fn cancel(&mut self) {
        self.expected.accuracy = 0;
        self.send(&Request::Cancel);
        panels::evaluation_ended();
    }

    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn send(&self, request: &Request) {
        if let Some(link) = &self.link {
            link.send(request);
        }
    }
}
