//! A software Vulkan driver for the tests, so that the wgpu path runs on machines without a GPU.
//!
//! The environment variable `VK_DRIVER_FILES` tells the Vulkan loader which driver to use: here Mesa's lavapipe.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The environment variable that allows the wgpu tests to use a software adapter.
pub const ALLOW_SOFTWARE: &str = "NOPROP_TEST_SOFTWARE_VULKAN";

const DRIVER_FILES: &str = "VK_DRIVER_FILES";

/// The folders in which systems keep driver manifests.
const FOLDERS: &[&str] = &[
    "/usr/share/vulkan/icd.d",
    "/usr/local/share/vulkan/icd.d",
    "/etc/vulkan/icd.d",
];

/// The driver manifests to use: those that the user has chosen, or else the one that [`choose`] picks.
pub fn find_driver() -> Option<OsString> {
    if let Some(chosen) = env::var_os(DRIVER_FILES).filter(|value| !value.is_empty()) {
        return Some(chosen);
    }
    let mut manifests: Vec<PathBuf> = FOLDERS
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    manifests.sort();
    choose(&manifests, env::consts::ARCH).map(|path| path.clone().into_os_string())
}

/// Picks a software driver: lavapipe for this processor, else any lavapipe.
/// Picks a software driver: lavapipe for this processor, or else any lavapipe.
///
/// A machine may hold lavapipe for several architectures, and the loader would reject one for another architecture.
fn choose<'a>(manifests: &'a [PathBuf], arch: &str) -> Option<&'a PathBuf> {
    let rank = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        if name == format!("lvp_icd.{arch}.json") {
            Some(0)
        } else if name == "lvp_icd.json" {
            Some(1)
        } else if name.starts_with("lvp_icd") && name.ends_with(".json") {
            Some(2)
        } else {
            None
        }
    };
    manifests
        .iter()
        .filter_map(|path| Some((rank(path)?, path)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, path)| path)
}

/// Points a test process to the software driver, and says so. Without a driver, the tests themselves print what they
/// skip.
pub fn configure(command: &mut Command) -> Result<()> {
    let Some(driver) = find_driver() else {
        println!("no software Vulkan driver found: tests of the wgpu path skip themselves");
        println!("(`cargo xtask setup` installs one where it can)");
        return Ok(());
    };
    println!("software Vulkan driver: {}", driver.to_string_lossy());
    command
        .env(DRIVER_FILES, driver)
        .env(ALLOW_SOFTWARE, "1")
        .env("XDG_RUNTIME_DIR", runtime_dir()?)
        // On a software driver, compiling all candidate kernels takes minutes, and choosing among them gains nothing.
        .env("CUBECL_AUTOTUNE_LEVEL", "minimal");
    Ok(())
}

/// A folder for the driver's sockets. Containers and build machines often have none, and drivers require one that no
/// other user can read.
fn runtime_dir() -> Result<PathBuf> {
    let dir = process::target_dir()?.join("xdg-runtime");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(dir)
}

/// Whether the Vulkan loader is installed, without which no driver can be used.
pub fn has_loader() -> bool {
    let mut folders = vec![PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")];
    if let Ok(entries) = fs::read_dir("/usr/lib") {
        folders.extend(entries.flatten().map(|entry| entry.path()));
    }
    folders
        .iter()
        .any(|folder| folder.join("libvulkan.so.1").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names
            .iter()
            .map(|name| Path::new("/icd").join(name))
            .collect()
    }

    fn chosen(names: &[&str]) -> Option<String> {
        let paths = paths(names);
        let file = choose(&paths, "x86_64")?.file_name()?;
        Some(file.to_string_lossy().into_owned())
    }

    #[test]
    fn prefers_lavapipe_of_this_processor() {
        let found = chosen(&[
            "intel_icd.x86_64.json",
            "lvp_icd.aarch64.json",
            "lvp_icd.x86_64.json",
        ]);
        assert_eq!(found.as_deref(), Some("lvp_icd.x86_64.json"));
    }

    #[test]
    fn never_takes_a_hardware_driver() {
        assert_eq!(
            chosen(&[
                "intel_icd.x86_64.json",
                "radeon_icd.x86_64.json",
                "lvp_icd.txt"
            ]),
            None
        );
    }
}
