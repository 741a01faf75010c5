//! Downloads from a server on the loopback interface.

use super::*;
use crate::load::checked_files::md5_hex;
use crate::load::test_support::{Behaviour, Server, refusing_url};

const CONTENT: &[u8] = b"0123456789abcdefghij";

struct Scene {
    server: Server,
    folder: tempfile::TempDir,
    events: Vec<Progress>,
}

impl Scene {
    fn new(behaviour: Behaviour) -> Self {
        let server = Server::start(vec![("file".to_owned(), CONTENT.to_vec())], behaviour).unwrap();
        Self {
            server,
            folder: tempfile::tempdir().unwrap(),
            events: Vec::new(),
        }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    fn part(&self) -> PathBuf {
        self.folder.path().join("file.part")
    }

    fn fetch(&mut self, name: &str, md5: &str) -> Result<Vec<u8>, DataError> {
        let url = format!("{}{name}", self.server.url);
        let target = self.target();
        fetch(&agent(), &url, md5, Some(&target), &mut |event| {
            self.events.push(event)
        })
    }

    fn assert_downloaded(&mut self) {
        assert_eq!(self.fetch("file", &md5_hex(CONTENT)).unwrap(), CONTENT);
        assert_eq!(fs::read(self.target()).unwrap(), CONTENT);
        assert!(!self.part().exists());
    }
}

#[test]
fn a_file_arrives_with_progress() {
    let mut scene = Scene::new(Behaviour::Normal);
    scene.assert_downloaded();
    let advanced: u64 = scene
        .events
        .iter()
        .map(|event| {
            if let Progress::Advanced { bytes } = event {
                *bytes
            } else {
                0
            }
        })
        .sum();
    assert_eq!(advanced, 20);
    let file = "file".to_owned();
    let started = Progress::Started {
        file: file.clone(),
        total: Some(20),
        resumed_from: 0,
    };
    assert_eq!(scene.events.first(), Some(&started));
    assert_eq!(scene.events.last(), Some(&Progress::Done { file }));
}

#[test]
fn without_a_target_it_stays_in_memory() {
    let scene = Scene::new(Behaviour::Normal);
    let url = format!("{}file", scene.server.url);
    let bytes = fetch(&agent(), &url, &md5_hex(CONTENT), None, &mut |_| {}).unwrap();
    assert_eq!(bytes, CONTENT);
}

#[test]
fn a_part_is_resumed_with_a_range() {
    let mut scene = Scene::new(Behaviour::Normal);
    fs::write(scene.part(), &CONTENT[..8]).unwrap();
    scene.assert_downloaded();
    assert_eq!(scene.server.requests(), ["file 8"]);
    let resumed = Progress::Started {
        file: "file".to_owned(),
        total: Some(20),
        resumed_from: 8,
    };
    assert_eq!(scene.events.first(), Some(&resumed));
}

#[test]
fn a_complete_part_is_taken() {
    let mut scene = Scene::new(Behaviour::Normal);
    fs::write(scene.part(), CONTENT).unwrap();
    scene.assert_downloaded();
    assert_eq!(scene.server.requests(), ["file 20"]);
}

#[test]
fn a_wrong_part_is_dropped_and_fetched_anew() {
    for wrong in [&b"wrong"[..], &[0; 30]] {
        let mut scene = Scene::new(Behaviour::Normal);
        fs::write(scene.part(), wrong).unwrap();
        scene.assert_downloaded();
        assert_eq!(
            scene.server.requests(),
            [format!("file {}", wrong.len()), "file".to_owned()]
        );
    }
}

#[test]
fn a_server_without_ranges_sends_all_of_it() {
    let mut scene = Scene::new(Behaviour::NoRanges);
    fs::write(scene.part(), &CONTENT[..8]).unwrap();
    scene.assert_downloaded();
    assert_eq!(scene.server.requests(), ["file 8"]);
}

#[test]
fn a_cut_connection_is_taken_up_again() {
    let mut scene = Scene::new(Behaviour::CutFirst(13));
    scene.assert_downloaded();
    assert_eq!(scene.server.requests(), ["file", "file 13"]);
}

#[test]
fn a_checksum_mismatch_is_named_and_nothing_is_kept() {
    let mut scene = Scene::new(Behaviour::Normal);
    let (expected, found) = (md5_hex(b"other"), md5_hex(CONTENT));
    let message = scene.fetch("file", &expected).unwrap_err().to_string();
    assert!(
        message.contains(&expected) && message.contains(&found),
        "{message}"
    );
    assert!(message.starts_with(&scene.server.url), "{message}");
    assert!(!scene.target().exists() && !scene.part().exists());
}

#[test]
fn another_status_is_named() {
    for (behaviour, name, status) in [
        (Behaviour::Normal, "none", 404),
        (Behaviour::Status(500), "file", 500),
    ] {
        let mut scene = Scene::new(behaviour);
        let message = scene
            .fetch(name, &md5_hex(CONTENT))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(&format!("HTTP status {status}")),
            "{message}"
        );
        assert!(!scene.part().exists());
    }
}

#[test]
fn a_failure_keeps_the_part() {
    let mut scene = Scene::new(Behaviour::Status(503));
    fs::write(scene.part(), &CONTENT[..8]).unwrap();
    assert!(scene.fetch("file", &md5_hex(CONTENT)).is_err());
    assert_eq!(fs::read(scene.part()).unwrap(), &CONTENT[..8]);
}

#[test]
fn a_refused_connection_is_unreachable() {
    let url = refusing_url().unwrap();
    let error = fetch(&agent(), &url, "", None, &mut |_| {}).unwrap_err();
    assert!(
        matches!(error.problem(), DataError::Unreachable { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("check the network"));
}

#[test]
fn a_part_in_use_by_another_process_is_left_alone() {
    let mut scene = Scene::new(Behaviour::Normal);
    let other = File::create(scene.part()).unwrap();
    other.lock().unwrap();
    assert_eq!(scene.fetch("file", &md5_hex(CONTENT)).unwrap(), CONTENT);
    assert!(scene.part().exists() && !scene.target().exists());
}
