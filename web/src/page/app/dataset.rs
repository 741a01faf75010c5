//! Which dataset is shown.

use super::super::{digits, events, panels};
use super::App;
use crate::bundled::Bundled;
use crate::logic::settings::{Picture, Settings};

impl App {
    /// Takes the weights and the pictures of another dataset.
    pub fn choose_dataset(&mut self, dataset: Bundled) {
        self.settings.dataset = dataset;
        self.settings.picture = Picture::Test(0);
        events::write_hash(&self.settings);
        self.reload();
    }

    /// The address asks for other settings.
    pub fn follow(&mut self, settings: Settings) {
        // Our own writing comes back here, too.
        if settings == self.settings {
            return;
        }
        let same = settings.dataset == self.settings.dataset;
        self.settings = settings;
        if same {
            self.changed();
        } else {
            self.reload();
        }
    }

    /// A picture of the user's own, `[c, h, w]`.
    pub fn own(&mut self, pixels: Vec<u8>) {
        panels::banner("");
        self.pick(Picture::Own(pixels));
    }

    /// Forgets what is of the dataset before, and starts the engine with the one of the settings.
    fn reload(&mut self) {
        self.model = None;
        self.projection = None;
        self.samples = None;
        self.trace = None;
        self.second = None;
        digits::clear();
        panels::nothing("waiting for the model");
        events::show_settings(&self.settings);
        self.draw_stage();
        self.retry();
    }
}
