//! How the user's own images become a data set.

use serde::{Deserialize, Serialize};

/// What is decided about a folder of images; it is part of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FolderOptions {
    /// Height and width that every image is resized to, whatever its aspect ratio; 32×32 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<[usize; 2]>,
    /// 1 (grey) or 3 (RGB). When absent: grey if every training image is stored in grey, else RGB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// Share of each class that is held out for testing where there is no folder of test images.
    pub holdout: f64,
    /// Refuse a folder with an unreadable image instead of naming and skipping the image.
    pub strict: bool,
}

impl FolderOptions {
    /// Height and width of an image when nothing else is said: CIFAR's.
    pub const DEFAULT_SIZE: [usize; 2] = [32, 32];
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self {
            image_size: None,
            channels: None,
            holdout: 0.1,
            strict: false,
        }
    }
}
