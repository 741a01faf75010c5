//! Serves a folder to browsers of this machine, and starts a browser without a window that opens a page of it.
//! `noprop check --browser` and the developer tasks use this crate.
//!
//! [`Server`] answers requests with the files of a folder:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//! use std::time::Duration;
//!
//! use noprop_browser::Server;
//!
//! # fn main() -> anyhow::Result<()> {
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("index.html"), "<p>here</p>")?;
//! let server = Server::bind(folder.path(), 0)?;
//! let address = server.address();
//!
//! let host = address.trim_start_matches("http://").trim_end_matches('/');
//! let mut client = TcpStream::connect(host)?;
//! client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//! if let Some(request) = server.receive(Duration::from_secs(5))? {
//!     server.answer(request);
//! }
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.ends_with("<p>here</p>"));
//! # Ok(())
//! # }
//! ```
//!
//! [`find_browser`] finds an installed browser, and [`Browser`] runs it:
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
#![warn(missing_docs)]

mod browser;
mod server;

pub use browser::{BROWSER_VARIABLE, Browser, find_browser, find_program};
pub use server::{Request, Server};
