//! Folders of images, and everything that can be wrong with them.

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage};

use super::*;

struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Two classes of `count` RGB images each, of some size, in `train` and `test`.
    fn with_both(count: u8) -> Self {
        let root = Self::new();
        for split in ["train", "test"] {
            for (k, class) in ["cat", "dog"].into_iter().enumerate() {
                root.fill(&format!("{split}/{class}"), count, 40 * k as u8);
            }
        }
        root
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn fill(&self, folder: &str, count: u8, value: u8) {
        for i in 0..count {
            let side = 20 + u32::from(i);
            let picture = RgbImage::from_pixel(side, 30, Rgb([value + i, 100, 200]));
            self.save(&format!("{folder}/{i}.png"), picture);
        }
    }

    fn save(&self, name: &str, picture: impl Into<DynamicImage>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture.into().save(&path).unwrap();
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Loads the dataset, and returns it with a message for each image that was left out.
    fn load_with(&self, folder: FolderOptions) -> Result<(Dataset, Vec<String>), DataError> {
        let mut left_out = Vec::new();
        let mut report = |event| match event {
            Progress::Failed { what, why } => left_out.push(format!("{what}: {why}")),
            other => panic!("{other:?}"),
        };
        let data = load_image_folder(self.0.path(), &folder, &mut report)?;
        Ok((data, left_out))
    }

    fn load(&self) -> Result<(Dataset, Vec<String>), DataError> {
        self.load_with(FolderOptions::default())
    }

    /// The error message without the path `name`, with which it must start.
    fn problem(&self, name: &str) -> String {
        let message = self.load().unwrap_err().to_string();
        let path = format!("{}: ", self.path(name).display());
        message
            .strip_prefix(&path)
            .unwrap_or_else(|| panic!("{path} in {message}"))
            .to_owned()
    }
}

#[test]
fn classes_sizes_and_colour_are_those_of_the_folder() {
    let root = Root::with_both(3);
    assert!(is_image_folder(root.0.path()));
    let (data, left_out) = root.load().unwrap();
    assert!(left_out.is_empty());
    assert_eq!(data.classes, ["cat", "dog"]);
    assert_eq!(
        (data.train.shape, data.train.len(), data.test.len()),
        ([3, 32, 32], 6, 6)
    );
    for i in 0..6 {
        // Each image has one colour, whose red tells the class.
        let image = data.train.image(i);
        let label = data.train.labels[i];
        assert_eq!(
            (image[0] >= 40, image[1024], image[2048]),
            (label == 1, 100, 200)
        );
    }
    assert_ne!(
        data.train.labels,
        [0, 0, 0, 1, 1, 1],
        "a limit is to take images of all classes"
    );
    assert_eq!(data.train.labels, root.load().unwrap().0.train.labels);
    assert!((data.normalization.mean[1] - 100.0 / 255.0).abs() < 1e-6);
    let name = root.0.path().file_name().unwrap();
    assert_eq!(data.name, name.to_string_lossy());
}

#[test]
fn size_and_colour_can_be_chosen_and_grey_is_recognised() {
    let root = Root::with_both(2);
    let chosen = FolderOptions {
        image_size: Some([8, 10]),
        channels: Some(1),
        ..Default::default()
    };
    assert_eq!(root.load_with(chosen).unwrap().0.test.shape, [1, 8, 10]);

    let grey = Root::new();
    for class in ["a", "b"] {
        for i in 0..10 {
            grey.save(
                &format!("{class}/{i}.png"),
                GrayImage::from_pixel(5, 5, Luma([i])),
            );
        }
    }
    assert_eq!(grey.load().unwrap().0.train.shape, [1, 32, 32]);
    // A single image in colour decides for all images.
    grey.save("b/colour.png", RgbImage::new(3, 3));
    assert_eq!(grey.load().unwrap().0.train.shape, [3, 32, 32]);
}

#[test]
fn a_share_is_held_out_where_there_are_no_test_images() {
    let root = Root::new();
    root.fill("one", 20, 0);
    root.fill("two", 10, 100);
    let share = |holdout| {
        let options = FolderOptions {
            holdout,
            ..Default::default()
        };
        root.load_with(options)
            .map(|(data, _)| (data.train.class_counts(2), data.test.class_counts(2)))
    };
    assert_eq!(share(0.1).unwrap(), (vec![18, 9], vec![2, 1]));
    assert_eq!(share(0.5).unwrap(), (vec![10, 5], vec![10, 5]));
    for wrong in [0.0, 1.0, -1.0, f64::NAN] {
        let message = share(wrong).unwrap_err().to_string();
        assert!(
            message.ends_with("expected above 0 and below 1"),
            "{message}"
        );
    }
    let message = share(0.999).unwrap_err().to_string();
    assert!(
        message.contains("no training image of class one remains"),
        "{message}"
    );
}

#[test]
fn all_formats_and_odd_images_are_read() {
    let root = Root::with_both(1);
    let sixteen: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_pixel(7, 7, Luma([200 << 8]));
    root.save("train/cat/sixteen.png", sixteen);
    root.save(
        "train/cat/tiny.png",
        RgbImage::from_pixel(1, 1, Rgb([200, 200, 200])),
    );
    root.save(
        "train/cat/photo.JPG",
        RgbImage::from_pixel(16, 16, Rgb([200, 200, 200])),
    );
    root.save(
        "train/cat/a.webp",
        RgbImage::from_pixel(9, 9, Rgb([200, 200, 200])),
    );
    root.save(
        "train/cat/a.bmp",
        RgbImage::from_pixel(9, 9, Rgb([200, 200, 200])),
    );
    root.write("train/cat/.DS_Store", b"ignored");
    root.write("train/cat/notes.txt", b"ignored");
    root.write("train/.cache/x.png", b"ignored");
    let (data, left_out) = root.load().unwrap();
    assert!(left_out.is_empty(), "{left_out:?}");
    assert_eq!(data.train.len(), 7);
    let close = |image: &[u8]| image.iter().all(|&pixel| pixel.abs_diff(200) <= 2);
    assert_eq!((0..7).filter(|&i| close(data.train.image(i))).count(), 5);
}

/// A PNG whose header announces an image of this size and which holds no pixel.
fn announcing_png(width: u32, height: u32) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [kind, data].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&body);
        let length = (data.len() as u32).to_be_bytes();
        [&length[..], &body, &crc.sum().to_be_bytes()].concat()
    };
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = [&size[..], &[8, 2, 0, 0, 0]].concat();
    let data = [0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01];
    let signature = b"\x89PNG\r\n\x1a\n".to_vec();
    [
        signature,
        chunk(b"IHDR", &header),
        chunk(b"IDAT", &data),
        chunk(b"IEND", b""),
    ]
    .concat()
}

#[test]
fn unreadable_images_are_named_and_left_out_or_refused() {
    let root = Root::with_both(2);
    let mut jpeg = Vec::new();
    RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8, y as u8, (x * y) as u8]))
        .write_to(
            &mut std::io::Cursor::new(&mut jpeg),
            image::ImageFormat::Jpeg,
        )
        .unwrap();
    // The file is cut in its header; the decoder accepts a picture that is cut later.
    root.write("train/dog/cut.jpg", &jpeg[..200]);
    root.write("train/dog/text.png", b"no image");
    root.write("train/dog/empty.bmp", b"");
    root.write("train/dog/huge.png", &announcing_png(20_000, 20_000));
    // No side exceeds the limit, but the picture has more bytes than any photograph.
    root.write("train/dog/large.png", &announcing_png(16_000, 16_000));
    fs::create_dir(root.path("train/dog/folder.png")).unwrap();
    let (data, mut left_out) = root.load().unwrap();
    assert_eq!(data.train.len(), 4);
    left_out.sort();
    assert_eq!(left_out.len(), 6, "{left_out:#?}");
    for (name, line) in [
        "cut.jpg",
        "empty.bmp",
        "folder.png",
        "huge.png",
        "large.png",
        "text.png",
    ]
    .iter()
    .zip(&left_out)
    {
        assert!(
            line.contains(name) && line.ends_with("; it is left out"),
            "{line}"
        );
    }
    assert!(left_out[3].contains("limit"), "{}", left_out[3]);

    let strict = FolderOptions {
        strict: true,
        ..Default::default()
    };
    let message = root.load_with(strict).unwrap_err().to_string();
    assert!(message.contains("train/dog/"), "{message}");
}

#[test]
fn missing_classes_are_named() {
    let root = Root::new();
    let message = root.load().unwrap_err().to_string();
    assert!(
        message.contains("holds 0 class folders, expected at least 2"),
        "{message}"
    );
    assert!(!is_image_folder(root.0.path()));
    root.fill("train/cat", 2, 0);
    assert!(
        root.problem("train")
            .starts_with("holds 1 class folder, expected at least 2")
    );

    fs::create_dir(root.path("train/dog")).unwrap();
    assert!(
        root.problem("train/dog")
            .starts_with("holds no readable image")
    );
    root.write("train/dog/bad.png", b"bad");
    let message = root.load().unwrap_err().to_string();
    assert!(message.contains("holds no readable image"), "{message}");

    root.fill("train/dog", 2, 0);
    root.fill("test/cow", 1, 0);
    assert_eq!(
        root.problem("test/cow"),
        "names no class of the training images (their classes are cat, dog): rename or remove the \
         folder"
    );
    fs::remove_dir_all(root.path("test/cow")).unwrap();
    assert!(
        root.load()
            .unwrap_err()
            .to_string()
            .contains("holds no readable image")
    );

    let nowhere = Root::new().path("nowhere");
    let nothing_to_report = &mut |event| panic!("{event:?}");
    let message = load_image_folder(&nowhere, &FolderOptions::default(), nothing_to_report)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("expected a folder with train/CLASS"),
        "{message}"
    );
}

#[test]
fn shapes_that_no_image_has_are_refused() {
    let root = Root::with_both(1);
    let with = |image_size, channels| {
        let options = FolderOptions {
            image_size,
            channels,
            ..Default::default()
        };
        root.load_with(options).unwrap_err().to_string()
    };
    assert!(with(Some([0, 5]), None).contains("has no valid size"));
    assert!(with(None, Some(2)).contains("1 channel (grey) or 3 (RGB)"));
}

#[cfg(unix)]
mod on_unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_that_are_not_utf_8() {
        let root = Root::with_both(1);
        // The name of an image file may be invalid UTF-8,
        let file = root
            .path("train/cat")
            .join(OsStr::from_bytes(b"\xff\xfe.png"));
        fs::copy(root.path("train/cat/0.png"), file).unwrap();
        assert_eq!(root.load().unwrap().0.train.len(), 3);
        // the name of a class may not.
        fs::create_dir(root.path("train").join(OsStr::from_bytes(b"bad\xff"))).unwrap();
        let message = root.load().unwrap_err().to_string();
        assert!(message.contains("is not valid UTF-8"), "{message}");
    }

    #[test]
    fn links_count_and_circles_end() {
        let root = Root::with_both(1);
        symlink(root.path("train/dog"), root.path("train/wolf")).unwrap();
        symlink("self", root.path("train/self")).unwrap();
        symlink("self.png", root.path("train/cat/self.png")).unwrap();
        symlink("nowhere.png", root.path("train/cat/dangling.png")).unwrap();
        let (data, left_out) = root.load().unwrap();
        assert_eq!(data.classes, ["cat", "dog", "wolf"]);
        assert_eq!((data.train.len(), left_out.len()), (3, 2), "{left_out:?}");
        // A class that is its own parent holds no image directly.
        symlink(root.path("train"), root.path("train/loop")).unwrap();
        assert!(
            root.problem("train/loop")
                .starts_with("holds no readable image")
        );
    }

    #[test]
    fn a_pipe_is_no_image() {
        let root = Root::with_both(1);
        let made = std::process::Command::new("mkfifo")
            .arg(root.path("train/cat/pipe.png"))
            .status();
        if made.is_ok_and(|status| status.success()) {
            let (_, left_out) = root.load().unwrap();
            assert!(left_out[0].contains("not a regular file"), "{left_out:?}");
        }
    }
}
