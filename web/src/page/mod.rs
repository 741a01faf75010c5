//! The page: what is shown, and what happens when it is touched.
//!
//! One [`App`] holds all state. Events change it and ask for what is missing; answers of the
//! worker and ticks of the clock redraw it.

mod app;
mod check;
mod digits;
mod dom;
mod events;
mod link;
mod own;
mod pad;
mod painter;
mod panels;
mod stage;
mod theme;

use std::cell::RefCell;

use app::App;
use wasm_bindgen_futures::spawn_local;

thread_local! {
    static APP: RefCell<Option<App>> = const { RefCell::new(None) };
}

/// Runs `act` on the page's state. An event that arrives while another is handled is dropped.
fn with_app(act: impl FnOnce(&mut App)) {
    APP.with(|cell| {
        if let Ok(mut app) = cell.try_borrow_mut()
            && let Some(app) = app.as_mut()
        {
            act(app);
        }
    });
}

/// Starts the page.
pub fn start() {
    console_error_panic_hook::set_once();
    if dom::window()
        .location()
        .hash()
        .is_ok_and(|hash| hash == "#check")
    {
        check::start();
        return;
    }
    APP.with(|cell| *cell.borrow_mut() = Some(App::new()));
    events::connect();
    spawn_local(async {
        let gpu = link::probe().await;
        with_app(|app| app.choose_backend(gpu));
    });
}
