//! A published data set: its files from the best source, parsed by its format, verified.

use crate::catalog::{Format, Published};
use crate::formats::cifar;
use crate::formats::idx::{self, Idx};
use crate::native::cache::Cache;
use crate::native::checksum::{Checksum, LoadedFile};
use crate::native::{LoadOptions, embedded, sources};
use crate::{DataError, Dataset, DatasetName, Source, Split};

/// Loads `name`; the sources are those of [`crate::load`].
pub(super) fn load(
    name: DatasetName,
    published: &Published,
    mut options: LoadOptions<'_>,
) -> Result<Dataset, DataError> {
    if let Some(root) = options.data_root.take() {
        let files = sources::data_root(published, &root, options.allow_unverified)?;
        // Parsed first: "truncated" says more than "another checksum".
        let data = dataset(name, published, &files, Source::DataRoot(root))?;
        if !options.allow_unverified {
            verify(published, &files, &data)?;
        }
        return Ok(data);
    }
    match sources::complete(published, &mut options) {
        Some((files, source)) => {
            let data = dataset(name, published, &files, source)?;
            verify(published, &files, &data)?;
            Ok(data)
        }
        None if name == DatasetName::Mnist => dataset(
            name,
            published,
            &embedded::mnist_subset()?,
            Source::Embedded,
        ),
        None => Err(unavailable(published, &options)),
    }
}

/// What to put where, now that no source has it.
fn unavailable(published: &Published, options: &LoadOptions<'_>) -> DataError {
    let downloads: Vec<&str> = published.downloads.iter().map(|d| d.name).collect();
    let cache = Cache::locate(options.cache_dir.as_deref(), published.key);
    DataError::Unavailable {
        name: published.key,
        why: if options.offline {
            "is not in the cache, and --offline forbids to download it"
        } else {
            "is not in the cache, and no mirror gave it"
        },
        downloads: downloads.join(", "),
        home: published.home,
        folder: cache.map_or_else(
            || "a folder".to_owned(),
            |cache| cache.folder().display().to_string(),
        ),
        files: sources::file_names(published),
    }
}

/// Checks files against the published checksums, and where none tells, against the numbers of images.
fn verify(published: &Published, files: &[LoadedFile], data: &Dataset) -> Result<(), DataError> {
    for file in files {
        if let Checksum::Mismatch { expected, found } = file.checksum.clone() {
            return Err(DataError::Unofficial { expected, found }.at(&file.place));
        }
    }
    for (split, expected) in [&data.train, &data.test].into_iter().zip(published.images) {
        if split.len() != expected {
            let place = files.first().map_or(published.key, |file| &file.place);
            let found = split.len();
            return Err(DataError::Incomplete { expected, found }.at(place));
        }
    }
    Ok(())
}

fn dataset(
    name: DatasetName,
    published: &Published,
    files: &[LoadedFile],
    source: Source,
) -> Result<Dataset, DataError> {
    let (train, test) = match published.format {
        Format::Idx => {
            let [train_images, train_labels, test_images, test_labels] = files else {
                return Err(DataError::Missing {
                    expected: sources::file_names(published),
                });
            };
            (
                from_idx(published, train_images, train_labels)?,
                from_idx(published, test_images, test_labels)?,
            )
        }
        Format::Cifar { label_bytes } => {
            // Without permission for a part of the files, none of them can be absent here.
            let (train, test) = files.split_at(files.len().saturating_sub(1));
            (
                from_cifar(published, train, label_bytes)?,
                from_cifar(published, test, label_bytes)?,
            )
        }
    };
    Ok(Dataset {
        name,
        classes: published.class_names(),
        normalization: published.normalization(),
        train,
        test,
        source,
    })
}

/// Parses a file of images and the file of their labels.
fn from_idx(
    published: &Published,
    images: &LoadedFile,
    labels: &LoadedFile,
) -> Result<Split, DataError> {
    let Idx {
        dims: [count, height, width],
        data: pixels,
    } = idx::parse::<3>(&images.bytes).map_err(|error| DataError::from(error).at(&images.place))?;
    let Idx { data: classes, .. } =
        idx::parse::<1>(&labels.bytes).map_err(|error| DataError::from(error).at(&labels.place))?;
    let found = [1, height, width];
    if found != published.shape {
        return Err(DataError::Shape {
            expected: published.shape,
            found,
        }
        .at(&images.place));
    }
    if count == 0 {
        return Err(DataError::Missing {
            expected: "at least one image".to_owned(),
        }
        .at(&images.place));
    }
    if classes.len() != count {
        let images_place = images.place.clone();
        return Err(DataError::CountsDiffer {
            images_place,
            images: count,
            labels: classes.len(),
        }
        .at(&labels.place));
    }
    let classes = classes.iter().copied().map(u16::from).collect();
    Split::new(pixels.to_vec(), classes, found, published.classes.len())
        .map_err(|error| error.at(&labels.place))
}

/// Parses files of records, one after the other into one split.
fn from_cifar(
    published: &Published,
    files: &[LoadedFile],
    label_bytes: usize,
) -> Result<Split, DataError> {
    let mut all = Split::new(
        Vec::new(),
        Vec::new(),
        cifar::SHAPE,
        published.classes.len(),
    )?;
    for file in files {
        let records = cifar::parse(&file.bytes, label_bytes)
            .map_err(|error| DataError::from(error).at(&file.place))?;
        let (labels, pixels): (Vec<u16>, Vec<&[u8]>) = records
            .images()
            .map(|(label, pixels)| (u16::from(label), pixels))
            .unzip();
        let split = Split::new(
            pixels.concat(),
            labels,
            cifar::SHAPE,
            published.classes.len(),
        )
        .map_err(|error| error.at(&file.place))?;
        all.images.extend(split.images);
        all.labels.extend(split.labels);
    }
    Ok(all)
}

#[cfg(test)]
#[path = "published_tests.rs"]
mod tests;
