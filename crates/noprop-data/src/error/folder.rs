//! What can be wrong with a folder of images.

/// Why a folder of images makes no data set.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// No folder is given.
    #[error("the data set \"folder\" is your own images: give their folder with --data-root")]
    NoRoot,

    /// A name that no weights file can carry.
    #[error("the name of this folder is not valid UTF-8, and it is to name a class: rename it")]
    ClassName,

    /// Fewer classes than there are to tell apart.
    #[error(
        "holds {found} class folder{}, expected at least 2: images belong into train/CLASS and \
         test/CLASS, or into CLASS alone, as .png, .jpg, .jpeg, .webp or .bmp",
        if *.found == 1 { "" } else { "s" }
    )]
    TooFewClasses {
        /// Class folders found.
        found: usize,
    },

    /// More classes than labels can name.
    #[error("holds {found} class folders, more than the {limit} that labels can name")]
    TooManyClasses {
        /// Class folders found.
        found: usize,
        /// The limit.
        limit: usize,
    },

    /// A class of which nothing can be learned.
    #[error(
        "holds no readable image (.png, .jpg, .jpeg, .webp or .bmp): add some, or remove the folder"
    )]
    EmptyClass,

    /// Test images of a class that is not trained.
    #[error("is no class of the training images, which are {known}: rename or remove the folder")]
    UnknownClass {
        /// The classes.
        known: String,
    },

    /// A share that leaves no image for training or none for testing.
    #[error("the share of images to hold out for testing is {found}, expected above 0 and below 1")]
    Holdout {
        /// The share given.
        found: f64,
    },

    /// All images of a class are held out.
    #[error(
        "no training image of class {class} remains after holding out {share} of them: add images"
    )]
    NoneLeft {
        /// The class.
        class: String,
        /// The share held out.
        share: f64,
    },
}
