//! The messages to the application: everything that can happen to the page.

use noprop_protocol::Response;
use web_sys::File;

use super::view::painter::Painted;
use super::workers::Adapter;
use crate::bundled::Bundled;
use crate::logic::settings::{Picture, Setting, Settings};

/// Hands a message to the application. One that is emitted while another is handled is dropped.
pub type Emit = fn(Message);

/// A message to the application: from the user, the browser or a worker.
pub enum Message {
    /// A dataset was chosen.
    Dataset(Bundled),
    /// A picture was chosen.
    Picture(Picture),
    /// The test image that lies this number of places after the present one in the strip was chosen.
    Neighbour(i32),
    /// The drawing pad was touched.
    Pad(PadEvent),
    /// An image file was given.
    PhotoFile(File),
    /// An image file was read, in the shape of a dataset.
    Photo {
        /// The dataset.
        dataset: Bundled,
        /// The pixels of the image, `[3, h, w]`.
        pixels: Vec<u8>,
    },
    /// A weights file was read.
    Weights {
        /// The file's name.
        name: String,
        /// The file's contents.
        bytes: Vec<u8>,
    },

    /// A setting of the walk was changed.
    Setting(Setting),
    /// The address was changed, by the user or by the page itself.
    Address(Settings),
    /// The cloud was switched on or off.
    Cloud(bool),
    /// The velocity field was switched on or off.
    Field(bool),
    /// The other theme was asked for.
    Theme,
    /// The system changed between light and dark.
    SystemTheme,
    /// The window has another size.
    Resized,
    /// A link to the present state was asked for.
    Share,

    /// The clock was started or paused.
    Play,
    /// The clock was moved by whole steps.
    Nudge(i32),
    /// The clock was moved to a position in steps.
    Seek(f64),
    /// The clock's speed was changed to a factor.
    Speed(f64),
    /// The clock's loop was switched on or off.
    Loop(bool),
    /// The browser is about to draw a frame.
    Frame,

    /// The accuracy was asked for.
    Evaluate,
    /// The measurement of accuracy was cancelled.
    Cancel,
    /// The other backend was asked for.
    SwitchBackend,
    /// The engine was asked to start again.
    Retry,
    /// The browser was asked for a WebGPU adapter.
    Adapter(Adapter),
    /// The engine responded.
    Engine(Response),
    /// The worker that draws the stage sent a message.
    Painter(Painted),
    /// A sentence is to be shown to the user.
    Notice(String),
}

/// A touch of the drawing pad. Points are in the pad's pixels.
pub enum PadEvent {
    /// The pad was opened.
    Open,
    /// The pen was put down.
    Down([f64; 2]),
    /// The pen was moved, whether it is down or not.
    Move([f64; 2]),
    /// The pen was lifted.
    Up,
    /// The last stroke was taken back.
    Undo,
    /// The drawing was cleared.
    Clear,
}
