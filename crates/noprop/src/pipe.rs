//! What the program prints, and who may have stopped reading: `noprop … | head`.
//!
//! The macros here take the place of the standard library's in every module of the program. Those panic where
//! they cannot write; these end the program as other programs of a pipeline end, or, once [`go_on_unread`] was
//! called, drop the text: a training does not die with the pipe that its log went to. (A signal that ends the
//! process, SIGPIPE, could not tell the two apart, and would come for closed sockets and children, too.)

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What a shell reports for a program that the signal SIGPIPE (13) has ended: 128 + 13.
const BROKEN_PIPE: i32 = 141;

/// Whether the program goes on when nobody reads what it prints.
static GOES_ON: AtomicBool = AtomicBool::new(false);

/// From now on the program does its work to the end, whether or not what it prints can be written.
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

/// Ends the program where nothing more can be written to `stream`, unless it goes on unread.
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
