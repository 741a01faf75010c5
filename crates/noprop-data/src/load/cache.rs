//! The cache folder of downloaded datasets. It holds verified files only, and a cache that cannot be
//! written is reported and not used.

use std::fs;
use std::path::{Path, PathBuf};

use crate::load::Progress;
use crate::load::checked_files::{self, CheckedFile, verify_all};
use crate::load::published_dataset::Download;

/// The environment variable that names a cache folder to use instead of the platform's.
const CACHE_DIR_VARIABLE: &str = "NOPROP_CACHE_DIR";

/// The folder of one dataset in the cache. It may not exist and need not be writable.
pub(crate) struct Cache {
    folder: PathBuf,
    writable: bool,
}

impl Cache {
    /// The cache folder of the dataset `name`: below `root` if given, else below
    /// `NOPROP_CACHE_DIR`, else below the platform's. `None` if the platform has none (no home).
    pub(crate) fn locate(root: Option<&Path>, name: &str) -> Option<Self> {
        let root = root
            .map(Path::to_path_buf)
            .or_else(from_environment)
            .or_else(of_platform)?;
        Some(Self {
            folder: root.join(name),
            writable: false,
        })
    }

    /// The folder, whether or not it exists.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the files of a download; `None` if the cache does not have them all. A file that fails its checksum is
    /// reported and removed.
    pub(crate) fn read(
        &self,
        download: &Download,
        progress: &mut dyn FnMut(Progress),
    ) -> Option<Vec<CheckedFile>> {
        let path = self.path_of(download)?;
        let verified = checked_files::read_download(&self.folder, download)?.and_then(verify_all);
        match verified {
            Ok(files) => Some(files),
            Err(error) => {
                progress(Progress::Failed {
                    what: path.display().to_string(),
                    why: error.problem().to_string(),
                });
                // Removal may fail: a file that stays fails its checksum again next time.
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// The path of a download if the cache has it; its checksum is not compared.
    pub(crate) fn path_of(&self, download: &Download) -> Option<PathBuf> {
        match download.files {
            [file] if !download.is_archive() => checked_files::find(&self.folder, file.name),
            _ => Some(self.folder.join(download.name)).filter(|path| path.exists()),
        }
    }

    /// Makes the folder and tries to write in it; reports a cache that cannot be written.
    pub(crate) fn prepare(&mut self, progress: &mut dyn FnMut(Progress)) {
        let probe = || {
            fs::create_dir_all(&self.folder)?;
            tempfile::NamedTempFile::new_in(&self.folder).map(drop)
        };
        match probe() {
            Ok(()) => self.writable = true,
            Err(error) => progress(Progress::Failed {
                what: format!("cache {}", self.folder.display()),
                why: format!("cannot be written ({error}): going on without it"),
            }),
        }
    }

    /// Path at which to keep a file called `name`; `None` if the cache cannot be written.
    pub(crate) fn path_for(&self, name: &str) -> Option<PathBuf> {
        self.writable.then(|| self.folder.join(name))
    }
}

fn from_environment() -> Option<PathBuf> {
    std::env::var_os(CACHE_DIR_VARIABLE)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn of_platform() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "noprop")?;
    Some(folders.cache_dir().to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::checked_files::md5_hex;
    use crate::load::published_dataset::PublishedFile;

    fn download(content: &[u8]) -> Download {
        let files = vec![PublishedFile::with_md5("a", md5_hex(content).leak())];
        Download {
            name: "a.gz",
            md5: "",
            folder: "",
            files: files.leak(),
        }
    }

    #[test]
    fn a_good_file_is_read_and_a_bad_one_named_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let mut cache = Cache::locate(Some(root.path()), "set").unwrap();
        let mut events = Vec::new();
        cache.prepare(&mut |event| events.push(event));
        let path = cache.path_for("a").unwrap();
        fs::write(&path, b"good").unwrap();

        let mut report = |event| events.push(event);
        let loaded = cache.read(&download(b"good"), &mut report).unwrap();
        assert_eq!(loaded[0].bytes, b"good");
        assert_eq!(cache.read(&download(b"other"), &mut report), None);
        assert!(!path.exists());
        assert_eq!(cache.read(&download(b"good"), &mut report), None);

        let [Progress::Failed { what, why }] = events.as_slice() else {
            panic!("one failure expected, got {events:?}");
        };
        assert_eq!(what, &path.display().to_string());
        assert!(
            why.contains(&md5_hex(b"good")) && why.contains(&md5_hex(b"other")),
            "{why}"
        );
    }

    #[test]
    fn an_unwritable_cache_is_reported_and_done_without() {
        let root = tempfile::tempdir().unwrap();
        // A file in the folder's place refuses writing to every user, root included.
        let blocked = root.path().join("file");
        fs::write(&blocked, "").unwrap();
        let mut cache = Cache::locate(Some(&blocked), "set").unwrap();
        let mut events = Vec::new();
        cache.prepare(&mut |event| events.push(event));
        assert_eq!(cache.path_for("a"), None);
        assert!(
            matches!(&events[..], [Progress::Failed { why, .. }] if why.contains("without it"))
        );
    }
}
