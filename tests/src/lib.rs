//! The code that the tests across crates share; the tests are in `tests/`.

pub mod command_line;
pub mod fixtures;

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use flate2::read::GzDecoder;
use noprop_core::Normalization;
use noprop_data::{Dataset, Split};

/// The subset of MNIST in `assets`, with the first `test` of its test images.
///
/// # Errors
/// When a file is missing or damaged.
pub fn mnist_subset(test: usize) -> Result<Dataset, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/mnist-subset");
    let read = |name: String| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        GzDecoder::new(File::open(folder.join(name))?).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let split = |part: &str| -> Result<Split, Box<dyn Error>> {
        let images = read(format!("{part}-images.idx.gz"))?;
        let labels = read(format!("{part}-labels.idx.gz"))?;
        Ok(Split::from_idx(&images, &labels, 10)?)
    };
    let digits = (0..10).map(|digit| digit.to_string());
    let test = split("t10k")?.take(test);
    let mut dataset = Dataset::new("mnist", digits, split("train")?, test)?;
    // The normalisation is that of all of MNIST, with which the weights in `assets` were trained.
    dataset.normalization = Normalization {
        mean: vec![0.1307],
        std: vec![0.3081],
    };
    Ok(dataset)
}

/// Whether there is a software Vulkan driver to test with; if there is none, prints that the test is skipped.
pub fn has_software_vulkan(what: &str) -> bool {
    let there = std::env::var_os("NOPROP_TEST_SOFTWARE_VULKAN").is_some();
    if !there {
        println!("SKIPPED: {what}, no software Vulkan driver (set NOPROP_TEST_SOFTWARE_VULKAN=1)");
    }
    there
}

/// The path of the program `noprop` in the target folder of the calling test. The first call builds the program, so
/// that it is up to date.
///
/// # Errors
/// When the program cannot be built.
pub fn program() -> io::Result<&'static Path> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program);
    }
    let test = std::env::current_exe()?;
    let none = || io::Error::other("the test lies in no target folder");
    let profile = test.parent().and_then(Path::parent).ok_or_else(none)?;
    // Cargo builds binaries only for the tests of their own package.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--workspace", "--bin", "noprop", "--target-dir"]);
    cargo.arg(profile.parent().ok_or_else(none)?);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    // Cargo sets variables that name the package of a test. If they are passed on, the build script of ring compiles
    // again, and so does everything that depends on it.
    for (name, _) in std::env::vars_os() {
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if told
            .iter()
            .any(|start| name.to_string_lossy().starts_with(start))
        {
            cargo.env_remove(name);
        }
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    if !cargo.current_dir(root).status()?.success() {
        return Err(io::Error::other("noprop does not build"));
    }
    let program = profile.join(format!("noprop{}", std::env::consts::EXE_SUFFIX));
    Ok(PROGRAM.get_or_init(|| program))
}
