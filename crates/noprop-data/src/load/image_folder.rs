//! A dataset of a user's own images in one folder for each class, in the layout of torchvision's `ImageFolder`.

use std::fs;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::holdout::{holdout, shuffle};
use crate::load::Progress;
use crate::load::image_file::{check_shape, decode_image, is_grey};
use crate::{DataError, Dataset, FolderError, FolderOptions, Split};

/// Name extensions of the files that are read.
const EXTENSIONS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];
/// Names of the folder of test images.
const TEST_NAMES: [&str; 2] = ["test", "val"];
/// The largest number of classes, since labels are `u16`.
const MAX_CLASSES: usize = 1 << 16;
/// Seed of the order and of the held-out images, fixed so that all runs on a folder agree.
const SEED: u64 = 0;

/// An image file and its class.
type Labelled = (PathBuf, u16);

/// Loads the images in `root/train/CLASS` and `root/test/CLASS` (or `root/val/CLASS`), or those in
/// `root/CLASS`, of which a share is held out for testing.
///
/// The folder names the dataset, and the folders in it the classes, in alphabetical order. Training and
/// test images are each shuffled, so that the first images are of all classes; the order is the same for
/// every run. Pixels are normalised by the statistics of the training images. An image that cannot be read
/// is reported as [`Progress::Failed`] and left out, unless `options.strict`.
///
/// # Errors
/// [`FolderError`] for fewer than two classes, a class without images, and the like; [`DataError::Channels`] or
/// [`DataError::EmptyShape`] for a shape that no image has; with `options.strict` also an error for an image that
/// cannot be read. Each error names the file or folder.
pub fn load_image_folder(
    root: &Path,
    options: &FolderOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Dataset, DataError> {
    if !(options.holdout > 0.0 && options.holdout < 1.0) {
        let found = options.holdout;
        return Err(FolderError::Holdout { found }.into());
    }
    let (train_folder, test_folder) = layout(root)?;
    let class_folders = class_folders(&train_folder)?;
    check_number(&class_folders)
        .map_err(|error| DataError::from(error).at(train_folder.display()))?;
    let classes: Vec<String> = class_folders.iter().map(|(name, _)| name.clone()).collect();

    let train_files = labelled(&class_folders, &classes)?;
    let [height, width] = options.image_size.unwrap_or(FolderOptions::DEFAULT_SIZE);
    let channels = options
        .channels
        .unwrap_or_else(|| channels_of(&train_files));
    let shape = [channels, height, width];
    check_shape(shape)?;

    let mut decode_all = |files| decode(files, shape, options.strict, classes.len(), progress);
    let train = decode_all(train_files)?;
    let counts = train.class_counts(classes.len());
    if let Some(empty) = counts.iter().position(|&count| count == 0) {
        let place = class_folders[empty].1.display();
        return Err(DataError::from(FolderError::EmptyClass).at(place));
    }
    let (train, test) = match test_folder {
        Some(test) => (
            train,
            decode_all(labelled(&self::class_folders(&test)?, &classes)?)?,
        ),
        None => hold_out(&train, options.holdout, &classes)?,
    };
    if test.is_empty() {
        return Err(DataError::from(FolderError::EmptyClass).at(root.display()));
    }
    let name = root.file_name().unwrap_or(root.as_os_str());
    Dataset::new(name.to_string_lossy(), classes, train, test)
}

/// Whether `root` is a folder that [`load_image_folder`] may read: with two class folders or more, of which
/// one holds an image file.
#[must_use]
pub fn is_image_folder(root: &Path) -> bool {
    let Ok((train, _)) = layout(root) else {
        return false;
    };
    let folders = class_folders(&train).unwrap_or_default();
    let holds_image = |(_, folder): &(String, PathBuf)| images(folder).is_ok_and(|i| !i.is_empty());
    folders.len() > 1 && folders.iter().any(holds_image)
}

/// The folder with the class folders of the training images and, if there is one, that of the test images.
fn layout(root: &Path) -> Result<(PathBuf, Option<PathBuf>), DataError> {
    if !root.is_dir() {
        let expected = "a folder with train/CLASS and test/CLASS, or CLASS, of images".to_owned();
        return Err(DataError::Missing { expected }.at(root.display()));
    }
    let train = root.join("train");
    if !train.is_dir() {
        return Ok((root.to_path_buf(), None));
    }
    let test = TEST_NAMES.iter().map(|name| root.join(name));
    Ok((train, test.into_iter().find(|folder| folder.is_dir())))
}

/// Name and path of each folder in `parent`, sorted by name. A link to a folder counts as a folder, unless
/// it leads in a circle.
fn class_folders(parent: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let mut folders = Vec::new();
    for path in entries(parent)?.into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default();
        let Some(name) = name.to_str().map(str::to_owned) else {
            return Err(DataError::from(FolderError::ClassName).at(path.display()));
        };
        if !name.starts_with('.') {
            folders.push((name, path));
        }
    }
    folders.sort();
    Ok(folders)
}

fn check_number(folders: &[(String, PathBuf)]) -> Result<(), FolderError> {
    match folders.len() {
        found @ 0..2 => Err(FolderError::TooFewClasses { found }),
        2..=MAX_CLASSES => Ok(()),
        found => Err(FolderError::TooManyClasses {
            found,
            limit: MAX_CLASSES,
        }),
    }
}

/// The image files of each folder with the position of its name in `classes`, shuffled.
fn labelled(folders: &[(String, PathBuf)], classes: &[String]) -> Result<Vec<Labelled>, DataError> {
    let mut files = Vec::new();
    for (name, folder) in folders {
        let Ok(label) = classes.binary_search(name) else {
            let known = classes.join(", ");
            return Err(DataError::from(FolderError::UnknownClass { known }).at(folder.display()));
        };
        files.extend(images(folder)?.into_iter().map(|path| (path, label as u16)));
    }
    // The files are shuffled, so that the first images of a split, which a limit takes, are of all classes.
    shuffle(&mut files, &mut ChaCha8Rng::seed_from_u64(SEED));
    Ok(files)
}

/// The image files directly in `folder`, sorted by name.
fn images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let is_image = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|found| EXTENSIONS.iter().any(|e| found.eq_ignore_ascii_case(e)))
    };
    let mut paths = entries(folder)?;
    paths.retain(is_image);
    paths.sort();
    Ok(paths)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let reading = |error| DataError::from_io(error, "read").at(folder.display());
    let list = fs::read_dir(folder).map_err(reading)?;
    list.map(|entry| entry.map(|entry| entry.path()).map_err(reading))
        .collect()
}

/// 1 channel if every readable image is stored in grey, else 3.
fn channels_of(files: &[Labelled]) -> usize {
    let has_colour = |(path, _): &Labelled| is_grey(path) == Some(false);
    if files.par_iter().any(has_colour) {
        3
    } else {
        1
    }
}

/// Decodes files on all cores. An unreadable one is reported and left out, or is an error when `strict`.
fn decode(
    files: Vec<Labelled>,
    shape: [usize; 3],
    strict: bool,
    classes: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Split, DataError> {
    let decoded: Vec<Result<Vec<u8>, DataError>> = files
        .par_iter()
        .map(|(path, _)| decode_image(path, shape))
        .collect();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (image, (path, label)) in decoded.into_iter().zip(files) {
        match image {
            Ok(image) => {
                pixels.extend(image);
                labels.push(label);
            }
            Err(error) if strict => return Err(error),
            Err(error) => progress(Progress::Failed {
                what: path.display().to_string(),
                why: format!("{}; it is left out", error.problem()),
            }),
        }
    }
    Split::new(pixels, labels, shape, classes)
}

/// Holds out a share of the images of each class for testing; returns (training, test).
fn hold_out(all: &Split, share: f64, classes: &[String]) -> Result<(Split, Split), DataError> {
    let count = ((all.len() as f64 * share).round() as usize).max(1);
    let (train, test) = holdout(all, count, classes.len(), SEED);
    let counts = train.class_counts(classes.len());
    match counts.iter().position(|&count| count == 0) {
        Some(empty) => Err(FolderError::NoneLeft {
            class: classes[empty].clone(),
            share,
        }
        .into()),
        None => Ok((train, test)),
    }
}

#[cfg(test)]
#[path = "image_folder_tests.rs"]
mod tests;
