//! The browser as a device: a server gives the built page its task and receives its numbers.
//!
//! Any browser can open the address; if a Chromium is installed, it is started without a window.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use noprop_browser::{Browser, Server, find_browser};
use noprop_protocol::{Backend, CheckResult, CheckTask, Request, Walk, decode, encode};
use sha2::{Digest, Sha256};

use super::numbers::{Numbers, Task, WalkNumbers};

/// The time limit of all results together. A software adapter takes minutes; a browser that has ended never answers.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// The media type of messages that only the page reads.
const BYTES: &str = "application/octet-stream";

/// Runs `task` on each backend of a browser, by the built page in the folder `page`. `program` is the browser to start,
/// or "none".
///
/// # Errors
/// When the page is not built, no browser can be started, or the page reports a failure.
pub fn measure(task: &Task, page: &Path, program: Option<&str>) -> Result<Vec<Numbers>> {
    if !page.join("page.js").is_file() {
        bail!(
            "there is no built page at {}; build it with `trunk build --release` or `cargo xtask web`, \
             or name its folder with --page",
            page.display()
        );
    }
    let server = Server::bind(page, 0)?;
    let address = format!("{}index.html#check", server.address());
    let _browser = match program {
        Some("none") => {
            eprintln!("open {address}");
            None
        }
        Some(program) => Some(Browser::start(Path::new(program), &address)?),
        None => Some(Browser::start(&find_browser().map_err(hint)?, &address)?),
    };
    collect(&server, task)?
        .into_iter()
        .map(|result| numbers(task, result))
        .collect()
}

/// Adds the flags that help to an error about browsers.
fn hint(error: anyhow::Error) -> anyhow::Error {
    anyhow!(
        "{error:#}, or with --browser-program; --browser-program none prints the address for you to open"
    )
}

/// Serves the page until it has posted all of its results.
fn collect(server: &Server, task: &Task) -> Result<Vec<CheckResult>> {
    let walks = task.walks.iter().map(|walk| Walk {
        sampler: walk.sampler,
        steps: walk.steps as u32,
        seed: walk.seed,
        temperature: walk.temperature,
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
        let Some(mut request) = server.receive(left)? else {
            bail!(
                "the browser sent {} result(s) and then nothing for too long; \
                 open the page yourself with --browser-program none",
                results.len()
            );
        };
        match (request.method(), request.path()) {
            ("GET", CheckTask::TASK) => request.send(BYTES, given.clone()),
            ("GET", CheckTask::WEIGHTS) => request.send(BYTES, task.weights.clone()),
            ("POST", CheckTask::RESULT) => {
                let body = request.body()?;
                request.send_status(204);
                if body.is_empty() {
                    return Ok(results);
                }
                results.push(decode(&body).map_err(|_| {
                    anyhow!("the page is of another build; build it anew with `cargo xtask web`")
                })?);
            }
            _ => server.answer(request),
        }
    }
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
