//! The page in the browser.
//!
//! Data flows one way. Everything that happens, in the document ([`events`]), in a worker ([`workers`]) or in a file
//! ([`files`]), is a [`Message`] to the [`App`]. The app changes its state ([`crate::logic::state`]) and calls the
//! views ([`view`]), which show the state and know neither messages nor the app.

mod app;
mod check;
mod dom;
mod events;
mod files;
mod message;
mod view;
mod workers;

use std::cell::RefCell;

use app::App;
use message::Message;
use wasm_bindgen_futures::spawn_local;

thread_local! {
    static APP: RefCell<Option<App>> = const { RefCell::new(None) };
}

/// The page's [`message::Emit`].
fn emit(message: Message) {
    APP.with(|cell| {
        if let Ok(mut app) = cell.try_borrow_mut()
            && let Some(app) = app.as_mut()
        {
            app.update(message);
        }
    });
}

/// Starts the page, or the check that `noprop check --browser` asks for at `#check`.
pub fn start() {
    console_error_panic_hook::set_once();
    if dom::hash() == "#check" {
        spawn_local(check::run());
        return;
    }
    APP.with(|cell| *cell.borrow_mut() = Some(App::new(emit)));
    events::connect(emit);
    spawn_local(async { emit(Message::Adapter(workers::adapter().await)) });
}
