//! A server of one folder for this machine: enough for the browser's tests and for a look.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, anyhow};
use tiny_http::{Header, Method, Request, Response};

/// A folder behind an address.
pub struct Server {
    listener: tiny_http::Server,
    folder: PathBuf,
}

impl Server {
    /// Listens on `port` of this machine only; 0 takes a free one.
    pub fn bind(folder: PathBuf, port: u16) -> Result<Self> {
        let listener = tiny_http::Server::http(("127.0.0.1", port))
            .map_err(|error| anyhow!("port {port} cannot be used: {error}"))?;
        Ok(Self { listener, folder })
    }

    /// Where it listens. Browsers treat `localhost` as secure, which WebGPU asks for.
    pub fn address(&self) -> String {
        let port = self
            .listener
            .server_addr()
            .to_ip()
            .map_or(0, |ip| ip.port());
        format!("http://localhost:{port}/")
    }

    /// Serves until the process ends.
    pub fn run(self) -> Result<()> {
        for request in self.listener.incoming_requests() {
            // A browser that closes a connection early is no error of ours.
            let _ = answer(request, &self.folder);
        }
        Ok(())
    }
}

fn answer(request: Request, folder: &Path) -> std::io::Result<()> {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return request.respond(Response::empty(405));
    }
    let Some(path) = locate(folder, request.url()) else {
        return request.respond(Response::empty(404));
    };
    let Ok(file) = File::open(&path) else {
        return request.respond(Response::empty(404));
    };
    let headers = [
        ("Content-Type", media_type(&path)),
        ("Cache-Control", "no-cache"),
    ];
    let headers = headers.map(|(name, value)| Header::from_bytes(name, value));
    let response = headers.into_iter().flatten().fold(
        // With its length, so that the page can say how much is still to come.
        Response::from_file(file).with_chunked_threshold(usize::MAX),
        |response, header| response.with_header(header),
    );
    request.respond(response)
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
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::thread;

    use super::*;
    use crate::process::workspace_root;

    fn ask(address: &str, request: &str) -> String {
        let host = address
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .replace("localhost", "127.0.0.1");
        let mut stream = TcpStream::connect(host).unwrap();
        write!(
            stream,
            "{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
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
        assert!(ask(&address, "nonsense").starts_with("HTTP/1.1 400"));
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
