//! The application: messages change its state, and the views show it.

mod engine;

use wasm_bindgen_futures::spawn_local;
use web_sys::File;

use super::message::{Emit, Message, PadEvent};
use super::view::pad::Pad;
use super::view::stage::Stage;
use super::view::{controls, status, step, theme};
use super::{dom, files};
use crate::bundled::Bundled;
use crate::logic::settings::{Picture, Setting, Settings};
use crate::logic::state::State;
use engine::Conversation;

/// The state, the views that hold something of their own, and the conversation with the engine.
pub struct App {
    emit: Emit,
    state: State,
    stage: Stage,
    pad: Pad,
    engine: Conversation,
    /// The time of the last frame in milliseconds, while the clock runs.
    last_frame: Option<f64>,
}

impl App {
    /// The application in the state that the address asks for, before there is a model.
    pub fn new(emit: Emit) -> Self {
        let settings = Settings::from_hash(&dom::hash());
        theme::label();
        controls::fill();
        controls::settings(&settings);
        Self {
            emit,
            engine: Conversation::new(settings.walk),
            state: State::new(settings),
            stage: Stage::new(),
            pad: Pad::new(),
            last_frame: None,
        }
    }

    /// Changes the state as `message` says, and shows it.
    pub fn update(&mut self, message: Message) {
        match message {
            Message::Dataset(dataset) => self.choose_dataset(dataset),
            Message::Picture(picture) => self.choose_picture(picture),
            Message::Neighbour(by) => {
                if let Some(index) = self.state.neighbour(by) {
                    self.choose_picture(Picture::Test(index));
                }
            }
            Message::Pad(event) => self.draw_digit(event),
            Message::PhotoFile(file) => self.read_photo(file),
            Message::Photo { dataset, pixels } => {
                // Meanwhile another dataset may have been chosen.
                if dataset == self.state.settings.dataset {
                    status::banner("");
                    self.choose_picture(Picture::Photo(pixels));
                }
            }
            Message::Weights { name, bytes } => self.load_weights(name, bytes),

            Message::Setting(setting) => self.change_setting(setting),
            Message::Address(settings) => self.follow_address(settings),
            Message::Cloud(shown) => {
                self.state.shows_cloud = shown;
                self.show_layers();
            }
            Message::Field(shown) => {
                self.state.shows_field = shown;
                self.show_layers();
            }
            Message::Theme => {
                theme::toggle();
                self.restyle();
            }
            Message::SystemTheme => {
                theme::follow_system();
                self.restyle();
            }
            Message::Resized => self.show_step(),
            Message::Share => {
                controls::address(&self.state.settings);
                controls::copy_address();
            }

            Message::Play => {
                self.state.clock.toggle();
                self.show_step();
                self.run_clock();
            }
            Message::Nudge(by) => {
                self.state.clock.nudge(by);
                self.show_step();
            }
            Message::Seek(position) => {
                self.state.clock.seek(position);
                self.show_step();
            }
            Message::Speed(factor) => self.state.clock.speed = factor,
            Message::Loop(on) => self.state.clock.repeat = on,
            Message::Frame => self.next_frame(),

            Message::Evaluate => self.evaluate(),
            Message::Cancel => self.cancel_evaluation(),
            Message::SwitchBackend => self.switch_backend(),
            Message::Retry => self.retry(),
            Message::Adapter(adapter) => self.choose_backend(adapter),
            Message::Engine(response) => self.receive(response),
            Message::Painter(painted) => {
                if self.stage.painted(painted) {
                    self.show_step();
                }
            }
            Message::Notice(text) => status::banner(&text),
        }
    }

    fn choose_dataset(&mut self, dataset: Bundled) {
        self.state.settings.dataset = dataset;
        self.state.settings.picture = Picture::Test(0);
        controls::address(&self.state.settings);
        self.reload();
    }

    fn choose_picture(&mut self, picture: Picture) {
        self.state.settings.picture = picture;
        self.settings_changed();
    }

    fn change_setting(&mut self, setting: Setting) {
        self.state.settings.set(setting);
        self.settings_changed();
    }

    /// Takes over the settings of the address.
    fn follow_address(&mut self, settings: Settings) {
        // A change of the address by the page itself is reported here, too.
        if settings == self.state.settings {
            return;
        }
        let same = settings.dataset == self.state.settings.dataset;
        self.state.settings = settings;
        if same {
            self.settings_changed();
        } else {
            self.reload();
        }
    }

    /// Shows the settings, keeps them in the address, and walks anew.
    fn settings_changed(&mut self) {
        self.state.fit_model();
        controls::settings(&self.state.settings);
        controls::address(&self.state.settings);
        self.ask_walk();
    }

    /// Forgets the previous dataset, and starts the engine with the dataset of the settings.
    fn reload(&mut self) {
        self.state.forget_dataset();
        controls::strip(None);
        step::nothing("waiting for the model");
        controls::settings(&self.state.settings);
        self.draw_stage();
        self.retry();
    }

    fn draw_digit(&mut self, event: PadEvent) {
        match event {
            PadEvent::Open => self.pad.open(),
            PadEvent::Down(point) => self.pad.pen_down(point),
            PadEvent::Move(point) => self.pad.pen_move(point),
            PadEvent::Up => {
                if self.pad.pen_up() {
                    self.classify_drawing();
                }
            }
            PadEvent::Undo => {
                self.pad.undo();
                self.classify_drawing();
            }
            PadEvent::Clear => {
                self.pad.clear();
                self.classify_drawing();
            }
        }
    }

    fn classify_drawing(&mut self) {
        match self.pad.image() {
            Some(pixels) => self.choose_picture(Picture::Drawn(pixels)),
            None => {
                self.state.forget_walks();
                self.engine.drop_walk();
                step::nothing("draw a digit");
                self.draw_stage();
            }
        }
    }

    /// Reads an image file, where the dataset has photographs.
    fn read_photo(&mut self, file: File) {
        let dataset = self.state.settings.dataset;
        if dataset.is_drawn() {
            status::banner(&format!(
                "Pictures of {} are drawn: choose another dataset for {}, or draw a digit.",
                dataset.title(),
                file.name()
            ));
            return;
        }
        let emit = self.emit;
        spawn_local(async move { emit(files::photo(file, dataset).await) });
    }

    /// Shows or hides the cloud and the field, and requests whichever has to be computed first.
    fn show_layers(&mut self) {
        if self.state.lacks_cloud() {
            self.ask_walk();
        }
        self.engine.drop_field();
        self.show_step();
    }

    /// Shows everything that depends on the step.
    fn show_step(&mut self) {
        self.ask_field();
        self.draw_stage();
        if self.state.walked.is_some() && self.state.model.is_some() {
            step::step(&self.state);
            controls::clock(&self.state.clock);
        }
    }

    fn draw_stage(&mut self) {
        self.stage.draw(&self.state, self.engine.computes_on_gpu());
    }

    /// Shows the picture beside the stage, and marks it in the strip.
    fn show_picture(&self) {
        if let Some(pixels) = self.state.pixels() {
            step::picture(pixels, self.state.settings.dataset.shape());
        }
        controls::mark(&self.state.settings.picture);
    }

    /// Draws everything in the colours of the theme again.
    fn restyle(&mut self) {
        if let Some(images) = &self.state.test_images {
            controls::strip(Some(images));
        }
        self.show_picture();
        self.show_step();
    }

    /// Asks for frames while the clock runs.
    fn run_clock(&mut self) {
        if self.last_frame.is_none() && self.state.clock.playing {
            self.last_frame = Some(dom::now());
            self.ask_frame();
        }
    }

    fn ask_frame(&self) {
        let emit = self.emit;
        dom::next_frame(move |_| emit(Message::Frame));
    }

    fn next_frame(&mut self) {
        let now = dom::now();
        // After a pause of the browser the walk continues from its last position.
        let last = self.last_frame.replace(now).unwrap_or(now);
        let seconds = ((now - last) / 1000.0).min(0.1);
        let before = self.state.clock.step();
        if self.state.clock.tick(seconds) {
            if self.state.clock.step() == before {
                // Between steps only the stage and the timeline move.
                self.draw_stage();
                controls::clock(&self.state.clock);
            } else {
                self.show_step();
            }
        }
        if self.state.clock.playing {
            self.ask_frame();
        } else {
            self.last_frame = None;
            self.show_step();
        }
    }
}
