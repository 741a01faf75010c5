//! A server of one folder for this machine: enough for the browser's tests and for a look.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Longest request that is read.
const REQUEST_LIMIT: u64 = 16 * 1024;
const READ_LIMIT: Duration = Duration::from_secs(10);

/// A folder behind an address.
pub struct Server {
    listener: TcpListener,
    folder: PathBuf,
}

impl Server {
    /// Listens on `port` of this machine only; 0 takes a free one.
    pub fn bind(folder: PathBuf, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("port {port} cannot be used"))?;
        Ok(Self { listener, folder })
    }

    /// Where it listens. Browsers treat `localhost` as secure, which WebGPU asks for.
    pub fn address(&self) -> String {
        let port = self
            .listener
            .local_addr()
            .map_or(0, |a: SocketAddr| a.port());
        format!("http://localhost:{port}/")
    }

    /// Serves until the process ends.
    pub fn run(self) -> Result<()> {
        for stream in self.listener.incoming() {
            let folder = self.folder.clone();
            let Ok(stream) = stream else { continue };
            thread::spawn(move || {
                // A browser that closes a connection early is no error of ours.
                let _ = answer(stream, &folder);
            });
        }
        Ok(())
    }
}

fn answer(stream: TcpStream, folder: &Path) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_LIMIT))?;
    let mut lines = BufReader::new(stream.try_clone()?.take(REQUEST_LIMIT)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The rest has to be read, or the browser sees a reset connection.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    if method != "GET" && method != "HEAD" {
        return refuse(stream, "405 Method Not Allowed");
    }
    let Some(path) = locate(folder, target) else {
        return refuse(stream, "404 Not Found");
    };
    let Ok(mut file) = File::open(&path) else {
        return refuse(stream, "404 Not Found");
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
         Cache-Control: no-cache\r\nConnection: close\r\n\r\n",
        media_type(&path),
        file.metadata()?.len()
    )?;
    if method == "GET" {
        io::copy(&mut file, &mut stream)?;
    }
    stream.flush()
}

fn refuse(mut stream: TcpStream, status: &str) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{status}",
        status.len()
    )
}

/// The file that a request means; nothing outside `folder`.
fn locate(folder: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let relative = Path::new(path);
    let inside = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !inside {
        return None;
    }
    let path = folder.join(relative);
    let path = if path.is_dir() {
        path.join("index.html")
    } else {
        path
    };
    path.is_file().then_some(path)
}

/// Browsers start no module and compile no WebAssembly of another type.
fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()).unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "md" | "sha256" | "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::workspace_root;

    fn ask(address: &str, request: &str) -> String {
        let host = address
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .replace("localhost", "127.0.0.1");
        let mut stream = TcpStream::connect(host).unwrap();
        write!(stream, "{request}\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn serves_files_with_their_types_and_nothing_else() {
        let server = Server::bind(workspace_root().join("xtask"), 0).unwrap();
        let address = server.address();
        thread::spawn(move || server.run());

        let found = ask(&address, "GET /Cargo.toml?worker HTTP/1.1");
        assert!(found.starts_with("HTTP/1.1 200 OK\r\n"), "{found}");
        assert!(found.contains("name = \"xtask\""));
        let head = ask(&address, "HEAD /Cargo.toml HTTP/1.1");
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"));
        for missing in [
            "/none.js",
            "/../Cargo.toml",
            "/src/../../Cargo.toml",
            "//etc/passwd",
        ] {
            let answer = ask(&address, &format!("GET {missing} HTTP/1.1"));
            assert!(answer.starts_with("HTTP/1.1 404"), "{missing}: {answer}");
        }
        assert!(ask(&address, "POST / HTTP/1.1").starts_with("HTTP/1.1 405"));
        assert!(ask(&address, "").starts_with("HTTP/1.1 405"));
    }

    #[test]
    fn types_that_browsers_insist_on() {
        assert_eq!(media_type(Path::new("a/b_bg.wasm")), "application/wasm");
        assert!(media_type(Path::new("worker.js")).starts_with("text/javascript"));
        assert_eq!(
            media_type(Path::new("x.idx.gz")),
            "application/octet-stream"
        );
    }
}
