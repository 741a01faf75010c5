//! A server of one folder for browsers on this machine.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};
use tiny_http::{Header, Method, Response};

/// A server of the files of a folder, at an address that only programs on this machine can reach.
pub struct Server {
    listener: tiny_http::Server,
    folder: PathBuf,
}

impl Server {
    /// A server of `folder` that listens on `port` of this machine; port 0 stands for any free port.
    ///
    /// # Errors
    /// When the port cannot be used, for example because another program has it.
    pub fn bind(folder: impl Into<PathBuf>, port: u16) -> Result<Self> {
        let listener = tiny_http::Server::http(("127.0.0.1", port))
            .map_err(|error| anyhow!("port {port} of this machine cannot be used: {error}"))?;
        let folder = folder.into();
        Ok(Self { listener, folder })
    }

    /// The address of the folder, with a slash at its end. Browsers treat it as secure, which WebGPU requires.
    pub fn address(&self) -> String {
        format!("http://{}/", self.listener.server_addr())
    }

    /// Waits for the next request; `None` if none has come within `limit`.
    ///
    /// # Errors
    /// When the connection cannot be read.
    pub fn receive(&self, limit: Duration) -> Result<Option<Request>> {
        Ok(self.listener.recv_timeout(limit)?.map(Request))
    }

    /// Answers a request with the file that it names, or with the status 404 or 405.
    pub fn answer(&self, request: Request) {
        if !matches!(request.0.method(), Method::Get | Method::Head) {
            return request.send_status(405);
        }
        match locate(&self.folder, request.path())
            .and_then(|path| Some((fs::read(&path).ok()?, path)))
        {
            Some((bytes, path)) => request.send(media_type(&path), bytes),
            None => request.send_status(404),
        }
    }

    /// Serves the folder until the process ends.
    ///
    /// # Errors
    /// When connections can no longer be accepted.
    pub fn run(&self) -> Result<()> {
        loop {
            self.answer(Request(self.listener.recv()?));
        }
    }
}

/// A request that waits for its answer.
///
/// A browser that goes away before it has the answer causes no error: closing a page does that.
pub struct Request(tiny_http::Request);

impl Request {
    /// The method, for example `GET`.
    pub fn method(&self) -> &str {
        self.0.method().as_str()
    }

    /// The path that is asked for, below the address of the server, without the slash in front and without query
    /// (`?`) and fragment (`#`).
    pub fn path(&self) -> &str {
        let path = self.0.url().split(['?', '#']).next().unwrap_or_default();
        path.strip_prefix('/').unwrap_or(path)
    }

    /// The body of the request.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn body(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        self.0.as_reader().read_to_end(&mut body)?;
        Ok(body)
    }

    /// Answers with `bytes` of the given media type.
    pub fn send(self, media_type: &str, bytes: Vec<u8>) {
        let headers = [("Content-Type", media_type), ("Cache-Control", "no-cache")]
            .map(|(name, value)| Header::from_bytes(name, value));
        let response = headers.into_iter().flatten().fold(
            // The response has a length, so that the page can show the progress of the download.
            Response::from_data(bytes).with_chunked_threshold(usize::MAX),
            |response, header| response.with_header(header),
        );
        let _ = self.0.respond(response);
    }

    /// Answers with the HTTP `status` and an empty body.
    pub fn send_status(self, status: u16) {
        let _ = self.0.respond(Response::empty(status));
    }
}

/// The file in `folder` that `path` names, `index.html` for a folder; `None` for a path outside of `folder`
/// and for a file that does not exist.
fn locate(folder: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path);
    let is_inside = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let found = is_inside.then(|| folder.join(relative))?;
    let found = if found.is_dir() {
        found.join("index.html")
    } else {
        found
    };
    found.is_file().then_some(found)
}

/// The media type of a file by its name. Browsers run modules and WebAssembly of the right type only.
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

    fn ask(address: &str, request: &str) -> String {
        let host = address.trim_start_matches("http://").trim_end_matches('/');
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
    fn serves_files_with_their_types_and_nothing_outside_of_the_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let page = scratch.path().join("page");
        fs::create_dir_all(page.join("assets")).unwrap();
        fs::write(page.join("index.html"), "<p>7</p>").unwrap();
        fs::write(page.join("assets/a.wasm"), "wasm").unwrap();
        fs::write(scratch.path().join("secret"), "s").unwrap();
        let server = Server::bind(&page, 0).unwrap();
        let address = server.address();
        thread::spawn(move || server.run());

        let found = ask(&address, "GET /assets/a.wasm?worker HTTP/1.1");
        assert!(found.starts_with("HTTP/1.1 200 OK\r\n"), "{found}");
        assert!(found.contains("Content-Type: application/wasm\r\n"));
        assert!(found.contains("Content-Length: 4\r\n"), "{found}");
        assert!(found.ends_with("\r\n\r\nwasm"));
        assert!(ask(&address, "GET / HTTP/1.1").ends_with("<p>7</p>"));
        let head = ask(&address, "HEAD /index.html HTTP/1.1");
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"));
        for missing in [
            "/none.js",
            "/../secret",
            "/assets/../../secret",
            "//etc/passwd",
        ] {
            let answer = ask(&address, &format!("GET {missing} HTTP/1.1"));
            assert!(answer.starts_with("HTTP/1.1 404"), "{missing}: {answer}");
        }
        assert!(ask(&address, "POST / HTTP/1.1").starts_with("HTTP/1.1 405"));
        assert!(ask(&address, "nonsense").starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn a_request_has_its_path_and_body() {
        let server = Server::bind(".", 0).unwrap();
        let address = server.address();
        let asking = thread::spawn(move || {
            ask(
                &address,
                "POST /check/result?x#y HTTP/1.1\r\nContent-Length: 0",
            )
        });
        let mut request = server.receive(Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!((request.method(), request.path()), ("POST", "check/result"));
        assert_eq!(request.body().unwrap(), b"");
        request.send("text/plain", b"seven".to_vec());
        assert!(asking.join().unwrap().ends_with("seven"));
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
