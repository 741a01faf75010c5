//! The browser as a device: a server gives the built page its task and takes its numbers.
//!
//! Any browser that opens the address will do; a headless Chromium is started where there is one.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use noprop_protocol::{Backend, CheckResult, CheckTask, Request, Walk, decode, encode};
use sha2::{Digest, Sha256};
use tiny_http::{Header, Method, Response, Server};

use super::Task;
use super::numbers::{Numbers, WalkNumbers};
use crate::cli::CheckArgs;

/// A software adapter takes minutes; a browser that died would take for ever.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Programs to look for, in this order.
const BROWSERS: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "chrome",
];

/// Runs `task` in a browser, on each of its backends.
///
/// # Errors
/// When the page is not built, no browser can be started, or the page reports a failure.
pub fn measure(task: &Task, args: &CheckArgs) -> Result<Vec<Numbers>> {
    if !args.page.join("page.js").is_file() {
        bail!(
            "there is no built page at {}; build it with `trunk build --release` or `cargo xtask web`, \
             or name its folder with --page",
            args.page.display()
        );
    }
    let server = Server::http("127.0.0.1:0")
        .map_err(|e| anyhow!("no port of this machine can be listened on: {e}"))?;
    let address = format!("http://{}/index.html#check", server.server_addr());
    let _browser = match args.browser_program.as_deref() {
        Some("none") => {
            eprintln!("open {address}");
            None
        }
        Some(program) => Some(Browser::start(program, &address)?),
        None => Some(Browser::find(&address)?),
    };
    collect(&server, task, &args.page)?
        .into_iter()
        .map(|result| numbers(task, result))
        .collect()
}

/// Serves the page until it has posted all of its results.
fn collect(server: &Server, task: &Task, page: &Path) -> Result<Vec<CheckResult>> {
    let walks = task.walks.iter().map(|walk| Walk {
        sampler: walk.kind,
        steps: walk.steps as u32,
        seed: walk.seed,
        temperature: 1.0,
    });
    let given = encode(&CheckTask {
        weights_sha256: Sha256::digest(&task.weights)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        request: Request::Check {
            pixels: task.images.images.clone(),
            walks: walks.collect(),
        },
    })?;
    let deadline = Instant::now() + LIMIT;
    let mut results = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(mut request) = server.recv_timeout(left)? else {
            bail!(
                "the browser sent {} result(s) and then nothing for too long; \
                 open the page yourself with --browser-program none",
                results.len()
            );
        };
        let path = request.url().split(['?', '#']).next().unwrap_or("/");
        let path = path.trim_start_matches('/').to_owned();
        let answer = match (request.method(), path.as_str()) {
            (Method::Get, CheckTask::TASK) => Some(given.clone()),
            (Method::Get, CheckTask::WEIGHTS) => Some(task.weights.clone()),
            (Method::Post, CheckTask::RESULT) => {
                let mut body = Vec::new();
                request.as_reader().read_to_end(&mut body)?;
                let done = body.is_empty();
                if !done {
                    let result = decode(&body).map_err(|_| {
                        anyhow!(
                            "the page is of another build; build it anew with `cargo xtask web`"
                        )
                    })?;
                    results.push(result);
                }
                request.respond(Response::empty(204))?;
                if done {
                    return Ok(results);
                }
                continue;
            }
            (Method::Get, _) => file(page, &path),
            _ => None,
        };
        // A browser that goes away in the middle of an answer is noticed by the deadline.
        let _ = match answer {
            Some(bytes) => request.respond(Response::from_data(bytes).with_header(kind(&path)?)),
            None => request.respond(Response::empty(404)),
        };
    }
}

/// A file of the page, never one outside of its folder.
fn file(page: &Path, path: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(path);
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
        .then(|| fs::read(page.join(path)).ok())
        .flatten()
}

fn kind(path: &str) -> Result<Header> {
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    };
    Header::from_bytes("Content-Type", kind).map_err(|()| anyhow!("{kind} is no header"))
}

fn numbers(task: &Task, result: CheckResult) -> Result<Numbers> {
    let backend = match result.backend {
        Backend::Cpu => "CPU",
        Backend::WebGpu => "WebGPU",
    };
    let found = result
        .numbers
        .map_err(|why| anyhow!("the browser's {backend} gave no numbers: {why}"))?;
    if found.walks.len() != task.walks.len() {
        bail!(
            "the browser's {backend} walked {} times instead of {}",
            found.walks.len(),
            task.walks.len()
        );
    }
    Ok(Numbers {
        device: format!("browser {backend} ({})", result.adapter),
        features: found.features,
        walks: found
            .walks
            .into_iter()
            .map(|walk| WalkNumbers {
                latents: walk.latents,
                logits: walk.logits,
            })
            .collect(),
        seconds: found.ms / 1000.0,
    })
}

/// A browser that we started, and end.
struct Browser {
    process: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn find(address: &str) -> Result<Self> {
        for program in BROWSERS {
            match Self::start(program, address) {
                Ok(browser) => return Ok(browser),
                Err(error) => tracing::debug!("{error:#}"),
            }
        }
        bail!(
            "no Chromium or Chrome was found; name one with --browser-program, or open the page yourself \
             with --browser-program none"
        )
    }

    fn start(program: &str, address: &str) -> Result<Self> {
        let profile = tempfile::tempdir().context("no folder for the browser's profile")?;
        let process = Command::new(program)
            .args([
                "--headless=new",
                // Also without a driver: Chromium then computes WebGPU in software.
                "--enable-unsafe-webgpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args(runs_as_root().then_some("--no-sandbox"))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        Ok(Self {
            process,
            _profile: profile,
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Chromium's sandbox refuses to work for root, as in most containers.
fn runs_as_root() -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
    }
    #[cfg(not(unix))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_page_are_served() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page");
        fs::create_dir_all(page.join("assets")).unwrap();
        fs::write(page.join("assets/a.txt"), "a").unwrap();
        fs::write(folder.path().join("secret"), "s").unwrap();
        assert_eq!(file(&page, "assets/a.txt").as_deref(), Some(&b"a"[..]));
        for path in [
            "../secret",
            "assets/../../secret",
            "/etc/passwd",
            "",
            "none",
        ] {
            assert_eq!(file(&page, path), None, "{path}");
        }
    }
}
