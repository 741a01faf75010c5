//! Printing to a pipe whose reader may be gone, as in `noprop … | head`.
//!
//! The macros here replace those of the standard library in every module of the program. The standard macros panic if
//! they cannot write. These end the program as other programs of a pipeline end; or, once [`go_on_unread`] was called,
//! they drop the text, so that a training does not end with the pipe of its log. (The signal SIGPIPE, which ends a
//! process, cannot tell the two cases apart, and would also come for closed sockets and child processes.)

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The exit status of the program if its reader is gone: 128 + 13, which a shell reports for the signal SIGPIPE (13).
const BROKEN_PIPE: i32 = 141;

/// Whether the program continues if nobody reads its output.
static GOES_ON: AtomicBool = AtomicBool::new(false);

/// Makes the program continue to the end of its work, whether or not its output can be written.
pub fn go_on_unread() {
    GOES_ON.store(true, Relaxed);
}

/// Writes to standard output, as `print!` does.
pub fn print(text: Arguments<'_>) {
    look_at(io::stdout().write_fmt(text), "standard output");
}

/// Writes to standard error, as `eprint!` does.
pub fn eprint(text: Arguments<'_>) {
    look_at(io::stderr().write_fmt(text), "standard error");
}

/// Ends the program if nothing more can be written to `stream`, unless the program goes on unread.
fn look_at(written: io::Result<()>, stream: &str) {
    let Err(error) = written else { return };
    if GOES_ON.load(Relaxed) {
        return;
    }
    if error.kind() == ErrorKind::BrokenPipe {
        process::exit(BROKEN_PIPE);
    }
    // Standard error may be the stream that failed, and there is nowhere else to say so.
    let _ = writeln!(io::stderr(), "error: {stream} cannot be written: {error}");
    process::exit(1);
}

macro_rules! print {
    ($($text:tt)*) => { $crate::pipe::print(format_args!($($text)*)) };
}

macro_rules! println {
    ($($text:tt)*) => { $crate::pipe::print(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::pipe::eprint(format_args!("{}\n", format_args!($($text)*))) };
}
