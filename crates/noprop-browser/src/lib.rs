//! A browser for a page that this machine serves: [`find_browser`] and [`Browser`] start one without a
//! window, [`Server`] gives it the files of a folder.
//!
//! ```no_run
//! use noprop_browser::{Browser, Server, find_browser};
//!
//! # fn main() -> anyhow::Result<()> {
//! let server = Server::bind("dist", 0)?;
//! let _browser = Browser::start(&find_browser()?, &server.address())?;
//! server.run()
//! # }
//! ```

mod browser;
mod server;

pub use browser::{BROWSER_VARIABLE, Browser, find_browser, find_program};
pub use server::{Request, Server};
