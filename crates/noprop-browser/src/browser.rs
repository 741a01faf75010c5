//! Finds an installed browser of the Chromium family and starts it without a window.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The environment variable that names the browser to use.
pub const BROWSER_VARIABLE: &str = "NOPROP_BROWSER";

/// Programs to look for in `PATH`, in this order.
const PROGRAMS: [&str; 7] = [
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "chrome",
    "microsoft-edge",
    "msedge",
];

/// The places where installers put a browser that is not in `PATH`: an environment variable that names a
/// folder (or is empty for the root), and the path from that folder.
const PLACES: [(&str, &str); 9] = [
    (
        "",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ),
    ("", "/Applications/Chromium.app/Contents/MacOS/Chromium"),
    (
        "",
        "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    ),
    ("ProgramFiles", r"Google\Chrome\Application\chrome.exe"),
    ("ProgramFiles(x86)", r"Google\Chrome\Application\chrome.exe"),
    ("LocalAppData", r"Google\Chrome\Application\chrome.exe"),
    ("LocalAppData", r"Chromium\Application\chrome.exe"),
    (
        "ProgramFiles(x86)",
        r"Microsoft\Edge\Application\msedge.exe",
    ),
    ("ProgramFiles", r"Microsoft\Edge\Application\msedge.exe"),
];

/// The browser to use: the one that [`BROWSER_VARIABLE`] names, else the first Chromium, Chrome or Edge
/// that is installed.
///
/// # Errors
/// When the variable names something that is no file, or no browser is installed.
pub fn find_browser() -> Result<PathBuf> {
    if let Some(named) = env::var_os(BROWSER_VARIABLE) {
        let path = PathBuf::from(named);
        ensure!(
            path.is_file(),
            "{BROWSER_VARIABLE} names {}, which is no file; name the browser's program with its full path",
            path.display()
        );
        return Ok(path);
    }
    let installed = PLACES.into_iter().filter_map(|(variable, path)| {
        let folder = match variable {
            "" => PathBuf::new(),
            variable => PathBuf::from(env::var_os(variable)?),
        };
        Some(folder.join(path)).filter(|path| path.is_file())
    });
    let found = PROGRAMS
        .into_iter()
        .filter_map(find_program)
        .chain(installed)
        .next();
    found.with_context(|| {
        format!(
            "no Chromium, Chrome or Edge was found; install one, or name its program in the environment \
             variable {BROWSER_VARIABLE}"
        )
    })
}

/// The path of a program in `PATH`, as a shell would find it.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
}

/// A running browser without a window and with an empty profile. The browser ends when this value is dropped.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    // The folder is deleted after `drop` has ended the process.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts `program`, which must be of the Chromium family, and opens `address` in it.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(program: &Path, address: &str) -> Result<Self> {
        let profile =
            tempfile::tempdir().context("no folder for the browser's profile could be made")?;
        let mut command = Command::new(program);
        command
            .args([
                "--headless=new",
                // Without a GPU driver Chromium then computes WebGPU in software.
                "--enable-unsafe-webgpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if runs_as_root() {
            // Chromium's sandbox refuses to work for root, as in most containers.
            command.arg("--no-sandbox");
        }
        let process = command
            .arg(address)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        Ok(Self {
            process,
            _profile: profile,
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn runs_as_root() -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
    }
    #[cfg(not(unix))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_path() {
        assert!(find_program("cargo").is_some_and(|path| path.is_file()));
        assert_eq!(find_program("no-program-of-this-name"), None);
    }

    #[test]
    fn a_missing_browser_is_named() {
        let error = Browser::start(Path::new("no-browser-of-this-name"), "about:blank")
            .expect_err("it cannot be started");
        assert!(format!("{error:#}").contains("no-browser-of-this-name cannot be started"));
    }
}
