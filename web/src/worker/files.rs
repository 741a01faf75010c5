//! Weights and test images: fetched, verified, and the weights kept in the browser's cache.

use std::io::Read;

use js_sys::{Reflect, Uint8Array};
use noprop_data::formats::{cifar, idx};
use noprop_protocol::Response;
use sha2::{Digest, Sha256};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, ReadableStreamDefaultReader, Response as HttpResponse};

use super::browser;
use crate::bundled::{Bundled, TestFiles};
use crate::engine::Failure;

/// The name of the browser's cache. It changes when the meaning of the files in it changes.
const CACHE: &str = "noprop-1";

/// Returns the weights at `url` and their source: "cache" or "network".
///
/// # Errors
/// When the weights cannot be fetched, or have another checksum than `sha256`.
pub async fn weights(url: &str, sha256: &str) -> Result<(Vec<u8>, String), Failure> {
    let cache = open_cache().await;
    if let Some(cache) = &cache
        && let Some(bytes) = cached(cache, url).await
        && digest(&bytes) == sha256
    {
        return Ok((bytes, "cache".into()));
    }
    let bytes = fetch(url, true).await?;
    let found = digest(&bytes);
    if found != sha256 {
        return Err(format!(
            "{url} is damaged: its sha256 should begin with {}, and begins with {}; reload the page, \
             or drop a model.safetensors of your own here",
            &sha256[..sha256.len().min(12)],
            &found[..12]
        ));
    }
    if let Some(cache) = &cache {
        keep(cache, url, &bytes).await;
    }
    Ok((bytes, "network".into()))
}

/// The bundled test images of `dataset`, `[n, c, h, w]`, and their labels.
///
/// # Errors
/// When the images cannot be fetched or are damaged.
pub async fn test_images(dataset: Bundled) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let damaged = |e: &dyn std::fmt::Display| format!("the test images cannot be used: {e}");
    let (images, labels) = match dataset.test_files() {
        TestFiles::Idx { images, labels } => {
            let images = unpack(fetch(images, false).await?)?;
            let labels = unpack(fetch(labels, false).await?)?;
            let images = idx::parse::<3>(&images).map_err(|e| damaged(&e))?;
            let labels = idx::parse::<1>(&labels).map_err(|e| damaged(&e))?;
            (images.data.to_vec(), labels.data.to_vec())
        }
        TestFiles::Cifar { records } => {
            let records = unpack(fetch(records, false).await?)?;
            let records = cifar::parse(&records, 1).map_err(|e| damaged(&e))?;
            let (labels, images): (Vec<u8>, Vec<&[u8]>) = records.images().unzip();
            (images.concat(), labels)
        }
    };
    let size: usize = dataset.shape().iter().product();
    if images.len() != size * labels.len() {
        return Err(format!(
            "the test images cannot be used: {} pixels for {} labels",
            images.len(),
            labels.len()
        ));
    }
    Ok((images, labels))
}

/// Decompresses a file if it is gzipped: some servers unpack .gz files on the way.
fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_end(&mut unpacked)
        .map_err(|e| format!("the test images are damaged ({e}); reload the page"))?;
    Ok(unpacked)
}

/// sha256 in lowercase hexadecimal.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Fetches the body at `url`. With `report`, each piece that arrives is reported to the page.
async fn fetch(url: &str, report: bool) -> Result<Vec<u8>, Failure> {
    let offline = |_: JsValue| {
        format!(
            "{url} could not be fetched: the server does not answer; check the connection and reload"
        )
    };
    let response = JsFuture::from(browser::scope().fetch_with_str(url))
        .await
        .map_err(offline)?;
    let response: HttpResponse = response.unchecked_into();
    if !response.ok() {
        return Err(format!(
            "{url} could not be fetched: the server answered {} {}",
            response.status(),
            response.status_text()
        ));
    }
    let total = response
        .headers()
        .get("content-length")
        .ok()
        .flatten()
        .and_then(|text| text.parse().ok());
    let Some(body) = response.body() else {
        return Err(format!("{url} came without content"));
    };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    loop {
        let piece = JsFuture::from(reader.read()).await.map_err(offline)?;
        let done = Reflect::get(&piece, &"done".into()).is_ok_and(|done| done.is_truthy());
        if done {
            return Ok(bytes);
        }
        let value = Reflect::get(&piece, &"value".into()).map_err(offline)?;
        bytes.extend(Uint8Array::new(&value).to_vec());
        if report {
            browser::post(&Response::Loading {
                received: bytes.len() as u64,
                total,
            });
        }
    }
}

/// The cache, if the browser has one (it needs HTTPS or localhost).
async fn open_cache() -> Option<Cache> {
    let caches = browser::scope().caches().ok()?;
    // Without HTTPS or localhost the property is missing, and a call on it would end the worker.
    if caches.is_undefined() {
        return None;
    }
    let cache = JsFuture::from(caches.open(CACHE)).await.ok()?;
    cache.dyn_into().ok()
}

/// The contents of `url` in the cache.
async fn cached(cache: &Cache, url: &str) -> Option<Vec<u8>> {
    let found = JsFuture::from(cache.match_with_str(url)).await.ok()?;
    let response: HttpResponse = found.dyn_into().ok()?;
    let buffer = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
    Some(Uint8Array::new(&buffer).to_vec())
}

/// Keeps a verified file in the cache. If that fails, only the next visit is slower.
async fn keep(cache: &Cache, url: &str, bytes: &[u8]) {
    let body = Uint8Array::from(bytes);
    if let Ok(response) = HttpResponse::new_with_opt_buffer_source(Some(&body)) {
        let _ = JsFuture::from(cache.put_with_str(url, &response)).await;
    }
}
