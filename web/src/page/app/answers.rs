//! What the worker answers.

use super::super::{dom, events, panels};
use super::App;
use crate::logic::recorded;
use crate::protocol::{Response, Trace};

impl App {
    /// An answer of the worker.
    pub fn receive(&mut self, response: Response) {
        match response {
            Response::Listening => self.send_start(),
            Response::Loading { received, total } => panels::progress(received, total),
            Response::Ready(ready) => self.ready(*ready),
            Response::Trace(trace) => self.traced(*trace),
            Response::Field(field) => {
                self.expected.field_pending = false;
                if field.id == self.expected.field
                    && let Some((_, shown)) = &mut self.field
                {
                    *shown = field.as_ref().clone();
                    self.redraw();
                }
                self.ask_field();
            }
            Response::Accuracy(progress) => {
                if progress.id == self.expected.accuracy {
                    let own = self.model.as_ref().is_some_and(|model| model.bundled);
                    let recorded = own
                        .then(|| recorded::accuracy(self.settings.dataset, &self.evaluated))
                        .flatten();
                    panels::accuracy(&progress, self.classes(), recorded);
                }
            }
            Response::Check(_) => {}
            Response::Error { message, fatal } => self.failed(&message, fatal),
        }
    }

    fn traced(&mut self, trace: Trace) {
        if trace.id == self.expected.second {
            self.second = Some(trace);
            self.redraw();
            return;
        }
        if trace.id != self.expected.trace {
            return;
        }
        self.latencies.push(trace.walk_ms);
        if self.latencies.len() > 20 {
            self.latencies.remove(0);
        }
        let steps = trace.times.len() - 1;
        panels::latency(&trace, &self.latencies, self.model.as_ref());
        panels::tally(&trace, self.classes());
        let still = dom::reduced_motion();
        self.clock.restart(steps, !still);
        if still {
            self.clock.seek(steps as f64);
        }
        self.trace = Some(trace);
        events::show_range(steps);
        self.ask_second();
        self.redraw();
        self.run();
    }
}
