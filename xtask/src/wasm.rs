//! The wasm32 target: found, added through rustup, or built from Debian's packages.
//!
//! Debian packages a current compiler for its browsers (`rustc-web`) that can generate wasm32
//! code, but not the target's standard library. The library's source and its dependencies are
//! packaged, so the library can be compiled here without a network, once, into a sysroot of our own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::{capture, run, run_bounded, target_dir, which};
use crate::setup::apt_install;

/// The target's name.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// The name under which rustup knows the sysroot that we build.
const TOOLCHAIN: &str = "noprop-wasm";
const PACKAGES: &[&str] = &[
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "rust-web-llvm",
    "lld-22",
];
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// A toolchain that compiles to wasm32.
pub enum Toolchain {
    /// The one that is active anyway.
    Active,
    /// The sysroot that [`build_from_debian`] has made.
    Sysroot(PathBuf),
}

impl Toolchain {
    /// Finds a working toolchain without changing the machine.
    pub fn find() -> Option<Self> {
        if compiles("rustc".as_ref()) {
            return Some(Self::Active);
        }
        let sysroot = sysroot_dir()?;
        (is_current(&sysroot) && compiles(sysroot.join("bin/rustc").as_ref()))
            .then_some(Self::Sysroot(sysroot))
    }

    /// Makes one cargo command use this toolchain, and leaves every other command alone.
    pub fn apply(&self, command: &mut Command) -> Result<()> {
        let Self::Sysroot(sysroot) = self else {
            return Ok(());
        };
        if which("rustup").is_some() {
            command.env("RUSTUP_TOOLCHAIN", TOOLCHAIN);
        } else {
            let path = env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(sysroot.join("bin")).chain(env::split_paths(&path));
            command.env("PATH", env::join_paths(folders)?);
        }
        Ok(())
    }

    /// What to call it in messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Active => "the active toolchain".to_owned(),
            Self::Sysroot(path) => format!("the toolchain `{TOOLCHAIN}` in {}", path.display()),
        }
    }
}

/// Makes the target available: rustup first, with a time limit, then Debian's packages.
pub fn install(use_rustup: bool) -> Result<Toolchain> {
    if use_rustup && which("rustup").is_some() {
        let mut add = Command::new("rustup");
        add.args(["target", "add", TARGET])
            .env("RUSTUP_MAX_RETRIES", "0");
        match run_bounded(&mut add, RUSTUP_LIMIT) {
            Ok(true) if compiles("rustc".as_ref()) => return Ok(Toolchain::Active),
            Ok(_) => println!("rustup could not add {TARGET}"),
            Err(error) => println!("{error}"),
        }
    }
    build_from_debian()
}

/// Compiles the standard library for wasm32 with Debian's compiler.
fn build_from_debian() -> Result<Toolchain> {
    ensure!(
        which("apt-get").is_some(),
        "no other source of {TARGET} is known for this system"
    );
    apt_install(PACKAGES)?;

    let about = compiler_identity().context("Debian's rustc does not answer")?;
    let version = field(&about, "release").context("rustc did not print its version")?;
    let host = field(&about, "host").context("rustc did not print its host")?;
    let library = PathBuf::from(format!("/usr/src/rustc-{version}/library"));
    ensure!(
        library.is_dir(),
        "the library's source is not in {}",
        library.display()
    );
    let sysroot = sysroot_dir().context("neither XDG_DATA_HOME nor HOME is set")?;

    println!("compiling the standard library {version} for {TARGET} (about a minute)");
    // A half-made sysroot must not look finished: the stamp is written last.
    if sysroot.exists() {
        fs::remove_dir_all(&sysroot)?;
    }
    let built = compile_library(&library)?;
    assemble_sysroot(&sysroot, host, &built)?;
    ensure!(
        compiles(sysroot.join("bin/rustc").as_ref()),
        "the new sysroot does not compile a test program"
    );
    fs::write(stamp(&sysroot), &about)?;

    if which("rustup").is_some() {
        let mut link = Command::new("rustup");
        link.args(["toolchain", "link", TOOLCHAIN]).arg(&sysroot);
        ensure!(run(&mut link)?, "rustup did not accept the new toolchain");
    }
    Ok(Toolchain::Sysroot(sysroot))
}

/// Builds an empty crate with `-Z build-std` and returns the folder of its libraries.
fn compile_library(library: &Path) -> Result<PathBuf> {
    let work = target_dir()?.join("xtask-wasm-std");
    let seed = work.join("seed");
    fs::create_dir_all(&seed)?;
    fs::write(seed.join("lib.rs"), "")?;
    // `panic = "abort"` is the target's only strategy; the empty [workspace] keeps the crate out
    // of any workspace above it.
    fs::write(
        seed.join("Cargo.toml"),
        "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [lib]\npath = \"lib.rs\"\n\n\
         [profile.release]\npanic = \"abort\"\ncodegen-units = 1\n\n\
         [workspace]\n",
    )?;

    let mut build = Command::new(DEBIAN_CARGO);
    build
        .current_dir(&seed)
        .args(["build", "--release", "--offline", "--target", TARGET])
        .args(["-Z", "build-std=core,alloc,std,panic_abort,proc_macro,test"])
        .args(["--config", "source.crates-io.replace-with=\"packaged\""])
        .args([
            "--config",
            &format!("source.packaged.directory=\"{}/vendor\"", library.display()),
        ])
        // Building the library is an unstable feature that the stable compiler hides.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", DEBIAN_RUSTC)
        // Programs linked with LTO need the library's bitcode.
        .env("RUSTFLAGS", "-C embed-bitcode=yes")
        .env("CARGO_TARGET_DIR", &work);
    for key in [
        "CARGO",
        "RUSTC_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
    ] {
        build.env_remove(key);
    }
    ensure!(run(&mut build)?, "the standard library did not compile");
    Ok(work.join(TARGET).join("release/deps"))
}

#[cfg(unix)]
fn assemble_sysroot(sysroot: &Path, host: &str, built: &Path) -> Result<()> {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let rustlib = sysroot.join("lib/rustlib");
    let libraries = rustlib.join(TARGET).join("lib");
    let bin = sysroot.join("bin");
    fs::create_dir_all(&libraries)?;
    fs::create_dir_all(&bin)?;

    for entry in fs::read_dir(built)? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if is_library(name) {
            fs::copy(&path, libraries.join(name))?;
        }
    }
    // Build scripts and procedural macros still run on the host.
    symlink(Path::new("/usr/lib/rustlib").join(host), rustlib.join(host))?;
    symlink(DEBIAN_CARGO, bin.join("cargo"))?;
    for tool in ["rustc", "rustdoc"] {
        let script = bin.join(tool);
        let text = format!(
            "#!/bin/sh\nexec /usr/bin/{tool} --sysroot '{}' \"$@\"\n",
            sysroot.display()
        );
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn assemble_sysroot(_: &Path, _: &str, _: &Path) -> Result<()> {
    anyhow::bail!("Debian's packages need Debian")
}

fn is_library(name: &str) -> bool {
    name.ends_with(".rlib") && !name.starts_with("libseed-")
}

/// Whether a compiler builds and links a small program with the standard library for wasm32.
///
/// Asking whether the target's folder exists is not enough: a linker may be missing too.
fn compiles(rustc: &OsStr) -> bool {
    probe(rustc).unwrap_or(false)
}

fn probe(rustc: &OsStr) -> Result<bool> {
    let folder = target_dir()?.join("xtask-wasm-probe");
    fs::create_dir_all(&folder)?;
    let source = folder.join("probe.rs");
    let output = folder.join("probe.wasm");
    fs::write(
        &source,
        "#[unsafe(no_mangle)]\npub extern \"C\" fn probe(n: usize) -> usize {\n    \
         vec![String::from(\"probe\"); n].concat().len()\n}\n",
    )?;
    let mut command = Command::new(rustc);
    command
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "cdylib",
            "--target",
            TARGET,
            "-O",
        ])
        .args([OsStr::new("-o"), output.as_os_str(), source.as_os_str()]);
    Ok(capture(&mut command).is_some())
}

fn compiler_identity() -> Option<String> {
    capture(
        Command::new(DEBIAN_RUSTC)
            .arg("-vV")
            .env_remove("RUSTUP_TOOLCHAIN"),
    )
}

/// A value out of `rustc -vV`'s `key: value` lines.
fn field<'a>(about: &'a str, key: &str) -> Option<&'a str> {
    about
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
}

/// Whether the sysroot was built by the compiler that is installed now: a library of another
/// version is rejected with an error that nobody understands.
fn is_current(sysroot: &Path) -> bool {
    match (fs::read_to_string(stamp(sysroot)), compiler_identity()) {
        (Ok(built_by), Some(installed)) => built_by == installed,
        _ => false,
    }
}

fn stamp(sysroot: &Path) -> PathBuf {
    sysroot.join("built-by")
}

fn sysroot_dir() -> Option<PathBuf> {
    let data = non_empty("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&non_empty("HOME")?).join(".local/share")))?;
    Some(data.join("noprop-rs/wasm-sysroot"))
}

fn non_empty(key: &str) -> Option<OsString> {
    env::var_os(key).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_compiler_description() {
        let about =
            "rustc 1.96.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.96.0\n";
        assert_eq!(field(about, "release"), Some("1.96.0"));
        assert_eq!(field(about, "host"), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(field(about, "rel"), None);
    }

    #[test]
    fn the_seed_crate_stays_out_of_the_sysroot() {
        assert!(is_library("libstd-0123.rlib"));
        assert!(!is_library("libseed-0123.rlib"));
        assert!(!is_library("libstd-0123.rmeta"));
    }
}
