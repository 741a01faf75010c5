//! For tests: descriptions of datasets, gzip, and a tiny HTTP server on the loopback interface.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::{Compression, write::GzEncoder};

use crate::formats::cifar;
use crate::load::published_dataset::{Download, Format, PublishedDataset, PublishedFile};

/// Grey images of ten classes in IDX files, of which the first has a published checksum.
pub(crate) const GREY: PublishedDataset = PublishedDataset {
    name: "grey",
    classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    shape: [1, 28, 28],
    images: [60_000, 10_000],
    mean: &[0.1],
    std: &[0.3],
    home: "https://grey.example/",
    format: Format::Idx,
    downloads: &[
        of_file(&[PublishedFile::with_md5(
            "train-images-idx3-ubyte",
            "6bbc9ace898e44ae57da46a324031adb",
        )]),
        of_file(&[PublishedFile::unchecked("train-labels-idx1-ubyte")]),
        of_file(&[PublishedFile::unchecked("t10k-images-idx3-ubyte")]),
        of_file(&[PublishedFile::unchecked("t10k-labels-idx1-ubyte")]),
    ],
    mirrors: &[],
    subfolders: &["Grey/raw", "raw"],
    npm: None,
    subset: None,
};

/// Colour images of ten classes in CIFAR-10's six files.
pub(crate) const COLOUR_10: PublishedDataset = PublishedDataset {
    name: "colour-10",
    shape: cifar::SHAPE,
    images: [50_000, 10_000],
    home: "https://colour.example/",
    format: Format::Cifar { label_bytes: 1 },
    downloads: &[Download {
        name: "colour-10.tar.gz",
        md5: "c32a1d4ab5d03f1284b67883e8d87530",
        folder: "colour-10/",
        files: &[
            PublishedFile::unchecked("data_batch_1.bin"),
            PublishedFile::unchecked("data_batch_2.bin"),
            PublishedFile::unchecked("data_batch_3.bin"),
            PublishedFile::unchecked("data_batch_4.bin"),
            PublishedFile::unchecked("data_batch_5.bin"),
            PublishedFile::unchecked("test_batch.bin"),
        ],
    }],
    subfolders: &["colour-10"],
    ..GREY
};

/// Colour images of ten classes in CIFAR-100's two files, each with two labels.
pub(crate) const COLOUR_FINE: PublishedDataset = PublishedDataset {
    name: "colour-fine",
    format: Format::Cifar { label_bytes: 2 },
    downloads: &[Download {
        name: "colour-fine.tar.gz",
        md5: "03b5dce01913d631647c71ecec9e9cb8",
        folder: "colour-fine/",
        files: &[
            PublishedFile::unchecked("train.bin"),
            PublishedFile::unchecked("test.bin"),
        ],
    }],
    subfolders: &["colour-fine"],
    ..COLOUR_10
};

/// A file that no test downloads.
pub(crate) const fn of_file(files: &'static [PublishedFile; 1]) -> Download {
    Download {
        name: "",
        md5: "",
        folder: "",
        files,
    }
}

/// Compresses bytes to a `.gz` file.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Behaviour of the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answers as servers should, with ranges.
    Normal,
    /// Ignores ranges and sends the whole file.
    NoRanges,
    /// Closes the connection after this number of bytes of the first body.
    CutFirst(usize),
    /// Answers with this status and no body.
    Status(u16),
}

/// Serves files by the last part of the path until the test ends.
pub(crate) struct Server {
    /// Address, ending in a slash.
    pub(crate) url: String,
    /// Each request as `path range`.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(
        files: Vec<(String, Vec<u8>)>,
        behaviour: Behaviour,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                // A client that hangs up early is part of the tests.
                let _ = answer(&stream, &files, behaviour, number, &log);
            }
        });
        Ok(Self { url, requests })
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .map(|log| log.clone())
            .unwrap_or_default()
    }
}

/// An address on which nothing listens.
pub(crate) fn refusing_url() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(format!("http://{}/", listener.local_addr()?))
}

fn answer(
    mut stream: &TcpStream,
    files: &[(String, Vec<u8>)],
    behaviour: Behaviour,
    number: usize,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let (mut path, mut range) = (String::new(), None);
    for line in BufReader::new(stream).lines() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        } else if let Some(rest) = line.strip_prefix("get /") {
            path = rest.split(' ').next().unwrap_or_default().to_owned();
        } else if let Some(value) = line.strip_prefix("range: bytes=") {
            range = value.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    if let Ok(mut log) = log.lock() {
        log.push(range.map_or(path.clone(), |start| format!("{path} {start}")));
    }
    let head = "Connection: close\r\nContent-Length";
    if let Behaviour::Status(status) = behaviour {
        return write!(stream, "HTTP/1.1 {status} No\r\n{head}: 0\r\n\r\n");
    }
    let Some((_, body)) = files.iter().find(|(name, _)| *name == path) else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\n{head}: 0\r\n\r\n");
    };
    let size = body.len();
    match range.filter(|_| behaviour != Behaviour::NoRanges) {
        Some(start) if start >= size => {
            write!(
                stream,
                "HTTP/1.1 416 Range Not Satisfiable\r\n{head}: 0\r\n\r\n"
            )
        }
        Some(start) => {
            let last = size - 1;
            let content_range = format!("Content-Range: bytes {start}-{last}/{size}");
            let length = size - start;
            write!(
                stream,
                "HTTP/1.1 206 Partial\r\n{content_range}\r\n{head}: {length}\r\n\r\n"
            )?;
            stream.write_all(&body[start..])
        }
        None => {
            write!(stream, "HTTP/1.1 200 OK\r\n{head}: {size}\r\n\r\n")?;
            let sent = match behaviour {
                Behaviour::CutFirst(count) if number == 0 => &body[..count],
                _ => body,
            };
            stream.write_all(sent)
        }
    }
}
