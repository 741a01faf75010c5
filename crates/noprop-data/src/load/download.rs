//! Download of one file over HTTP: it resumes where an earlier attempt stopped, is verified, and gets its name when it
//! is complete.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Agent;
use ureq::http::StatusCode;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};

use crate::DataError;
use crate::load::Progress;
use crate::load::checked_files::{MAX_BYTES, read_limited, verify};

/// Number of attempts at a transfer, as long as each brings more bytes.
const ATTEMPTS: usize = 4;

/// The HTTP client. Without a network it gives up within seconds.
pub(crate) fn agent() -> Agent {
    Agent::config_builder()
        .timeout_resolve(Some(Duration::from_secs(5)))
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_recv_response(Some(Duration::from_secs(15)))
        // The limit is on silence, not on the whole transfer, which may be slow.
        .timeout_per_read(Some(Duration::from_secs(20)))
        .http_status_as_error(false)
        // The checksum and the range are those of the file as it is stored, so it must not be compressed on the way.
        .accept_encoding("identity")
        .user_agent(concat!("noprop/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// Downloads `url` and verifies its MD5. With a `target` the bytes are also kept there; until they
/// are complete they lie beside it in `<target>.part`, from which a later call resumes.
///
/// # Errors
/// [`DataError::Unreachable`] when the server gives no answer; otherwise a status, an interruption
/// or a checksum. A file that fails its checksum is removed.
pub(crate) fn fetch(
    agent: &Agent,
    url: &str,
    md5: &str,
    target: Option<&Path>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<u8>, DataError> {
    let mut partial = Partial::open(target);
    let mut result = Ok(());
    for _ in 0..ATTEMPTS {
        let held = partial.bytes.len();
        result = receive(agent, url, &mut partial, progress);
        match &result {
            Ok(()) => {
                result = verify(&partial.bytes, md5);
                if result.is_ok() {
                    break;
                }
                partial.clear();
                // The bytes of an earlier attempt may be the damaged part, so the transfer starts once more from
                // nothing.
                if held == 0 {
                    break;
                }
            }
            Err(DataError::Interrupted { .. }) if partial.bytes.len() > held => {}
            Err(_) => break,
        }
    }
    match result {
        Ok(()) => {
            progress(Progress::Done {
                file: file_name(url).to_owned(),
            });
            Ok(partial.keep(progress))
        }
        Err(error) => {
            partial.leave();
            Err(error.at(url))
        }
    }
}

/// Requests the missing rest of the file and appends it to `partial`.
fn receive(
    agent: &Agent,
    url: &str,
    partial: &mut Partial,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), DataError> {
    let held = partial.bytes.len() as u64;
    let mut request = agent.get(url);
    if held > 0 {
        request = request.header(RANGE, format!("bytes={held}-"));
    }
    let response = request.call().map_err(|error| DataError::Unreachable {
        why: error.to_string(),
    })?;
    let header = |name| response.headers().get(name)?.to_str().ok();
    let resumed_from = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT => header(CONTENT_RANGE).and_then(range_start).unwrap_or(0),
        // The server has no bytes after those held: the file is complete, or is another file; the checksum tells.
        StatusCode::RANGE_NOT_SATISFIABLE if held > 0 => return Ok(()),
        status => {
            return Err(DataError::Http {
                status: status.as_u16(),
            });
        }
    };
    if resumed_from != held {
        partial.clear();
    }
    let length: Option<u64> = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let total = length.map(|length| length.saturating_add(resumed_from));
    let file = file_name(url).to_owned();
    progress(Progress::Started {
        file,
        total,
        resumed_from,
    });
    receive_body(response.into_body().into_reader(), total, partial, progress)
}

fn receive_body(
    mut body: impl Read,
    total: Option<u64>,
    partial: &mut Partial,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), DataError> {
    let mut chunk = vec![0; 64 << 10];
    let why = loop {
        match body.read(&mut chunk) {
            Ok(0) => break "the connection was closed".to_owned(),
            Ok(count) => {
                partial.append(&chunk[..count], progress);
                progress(Progress::Advanced {
                    bytes: count as u64,
                });
            }
            Err(error) => break error.to_string(),
        }
        if partial.bytes.len() as u64 > MAX_BYTES {
            partial.clear();
            return Err(DataError::TooLarge { limit: MAX_BYTES });
        }
    };
    let received = partial.bytes.len() as u64;
    match total {
        Some(total) if received < total => Err(DataError::Interrupted { received, why }),
        _ => Ok(()),
    }
}

/// The first position in `bytes 100-199/200`.
fn range_start(content_range: &str) -> Option<u64> {
    content_range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .parse()
        .ok()
}

fn file_name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// The bytes received so far, and the file that keeps them for another run if it can.
struct Partial {
    bytes: Vec<u8>,
    file: Option<PartFile>,
}

struct PartFile {
    handle: File,
    part: PathBuf,
    target: PathBuf,
}

impl Partial {
    /// Opens `<target>.part` to continue it. Without a target, or if that file cannot be used, the bytes are kept in
    /// memory only.
    fn open(target: Option<&Path>) -> Self {
        let file = target.and_then(PartFile::open);
        let bytes = match &file {
            Some(file) => read_limited(&file.handle, MAX_BYTES, |error| {
                DataError::from_io(error, "read")
            }),
            None => Ok(Vec::new()),
        };
        match bytes {
            Ok(bytes) => Self { bytes, file },
            Err(_) => Self {
                bytes: Vec::new(),
                file: None,
            },
        }
    }

    fn append(&mut self, chunk: &[u8], progress: &mut dyn FnMut(Progress)) {
        self.bytes.extend_from_slice(chunk);
        if let Some(file) = &mut self.file
            && let Err(error) = file.handle.write_all(chunk)
        {
            let why = format!("cannot be written ({error}): going on without it");
            progress(Progress::Failed {
                what: file.part.display().to_string(),
                why,
            });
            self.bytes_only();
        }
    }

    /// Discards all bytes.
    fn clear(&mut self) {
        self.bytes.clear();
        if self
            .file
            .as_ref()
            .is_some_and(|file| file.handle.set_len(0).is_err())
        {
            self.bytes_only();
        }
    }

    /// Gives up the file, which no longer equals the bytes.
    fn bytes_only(&mut self) {
        if let Some(PartFile { handle, part, .. }) = self.file.take() {
            drop(handle);
            let _ = fs::remove_file(part);
        }
    }

    /// Gives the complete file its name, and returns its bytes.
    fn keep(self, progress: &mut dyn FnMut(Progress)) -> Vec<u8> {
        if let Some(PartFile {
            handle,
            part,
            target,
        }) = self.file
        {
            drop(handle);
            if let Err(error) = fs::rename(&part, &target) {
                let why = format!("cannot be written ({error}): going on without it");
                progress(Progress::Failed {
                    what: target.display().to_string(),
                    why,
                });
            }
        }
        self.bytes
    }

    /// Leaves the part of an incomplete file for another run, unless the part is empty.
    fn leave(mut self) {
        if self.bytes.is_empty() {
            self.bytes_only();
        }
    }
}

impl PartFile {
    fn open(target: &Path) -> Option<Self> {
        let mut part = target.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let handle = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&part)
            .ok()?;
        // Another process that downloads the same file has locked its part.
        match handle.try_lock() {
            Err(fs::TryLockError::WouldBlock) => None,
            // On a file system without locks the file is used without a lock.
            Ok(()) | Err(fs::TryLockError::Error(_)) => Some(Self {
                handle,
                part,
                target: target.to_path_buf(),
            }),
        }
    }
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
