//! `noprop … | head`: who reads standard output may stop before it is complete.

use std::panic;
use std::process;

/// What a shell reports for a program that the signal SIGPIPE (13) has ended: 128 + 13.
const BROKEN_PIPE: i32 = 141;

/// From now on a broken pipe ends the program quietly, as it ends other programs of a pipeline.
///
/// `println!` panics where it cannot write, so this looks at panics; all others are reported as before.
pub fn end_quietly() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str().is_some_and(is_broken_pipe) {
            process::exit(BROKEN_PIPE);
        }
        report(panic);
    }));
}

/// The panic of `print!` and its kind, with the system's error for a pipe that nobody reads.
fn is_broken_pipe(message: &str) -> bool {
    let codes: &[u32] = if cfg!(windows) { &[109, 232] } else { &[32] };
    message.starts_with("failed printing to ")
        && codes
            .iter()
            .any(|code| message.ends_with(&format!("(os error {code})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_failures_are_reported() {
        for message in [
            "failed printing to stdout: No space left on device (os error 28)",
            "Broken pipe (os error 32)",
            "index out of bounds",
        ] {
            assert!(!is_broken_pipe(message), "{message}");
        }
    }
}
