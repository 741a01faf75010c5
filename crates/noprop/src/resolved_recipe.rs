//! The recipe of a training: a recipe file with the settings of the command line, fitted to the dataset.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use noprop_data::{Dataset, FolderOptions, is_image_folder};
use noprop_train::Recipe;

use crate::catalogue::{self, FOLDER};
use crate::flags::SourceArgs;
use crate::recipes;
use crate::settings::{self, Setting};

/// A recipe, and which of its settings follow the dataset.
#[derive(Debug)]
pub struct ResolvedRecipe {
    /// The recipe with all settings applied.
    pub recipe: Recipe,
    /// Whether `model.input` is stated for this dataset; otherwise it follows the dataset.
    states_input: bool,
    /// Whether `model.classes` is stated for this dataset; otherwise it follows the dataset.
    states_classes: bool,
    /// The name of the run folder if the user gives none.
    pub run_name: PathBuf,
}

impl ResolvedRecipe {
    /// The recipe of a new run: the recipe called `name`, or else the default of the dataset, with `settings`. If
    /// `source` holds a folder of images, it is the dataset unless a setting names another.
    ///
    /// # Errors
    /// When there is no such recipe, or a setting does not fit it.
    pub fn new(name: Option<&str>, settings: &[Setting], source: &SourceArgs) -> Result<Self> {
        let asked = asked_dataset(settings, source);
        let name = name.unwrap_or_else(|| asked.map_or(recipes::DEFAULT, recipes::default_for));
        let (file, text) = recipes::find_with_text(name)?;
        let stated: toml::Table = text.parse().context("the recipe is no TOML")?;
        let is_stated = |key: &str| {
            let model = stated.get("model");
            model.is_some_and(|model| model.get(key).is_some())
        };
        let is_set = |key: &str| settings.iter().any(|setting| setting.states(key));

        let mut recipe = settings::apply(settings, &file)?;
        if let Some(dataset) = asked {
            dataset.clone_into(&mut recipe.data.dataset);
        }
        let dataset = &recipe.data.dataset;
        let published =
            catalogue::find(dataset).with_context(|| format!("the recipe {name}, data.dataset"))?;
        let is_own = *dataset == file.data.dataset;
        let root = source.data_root.as_deref();
        let mut resolved = Self {
            run_name: run_name(name, dataset, is_own, root),
            // A recipe states a value for its own dataset only; a setting holds for any dataset.
            states_input: is_own && is_stated("input") || is_set("model.input"),
            states_classes: is_own && is_stated("classes") || is_set("model.classes"),
            recipe,
        };
        resolved.recipe.data.folder = resolved.folder(source);
        if let Some(published) = published {
            resolved.fit(published.shape, published.classes.len());
        }
        Ok(resolved)
    }

    /// The recipe of a run that continues, with `settings`. Everything that follows the dataset was decided when the
    /// run began; the trainer refuses the checkpoint if a setting changes it.
    ///
    /// # Errors
    /// When a setting does not fit the recipe.
    pub fn resumed(recipe: &Recipe, settings: &[Setting], source: &SourceArgs) -> Result<Self> {
        let mut recipe = settings::apply(settings, recipe)?;
        recipe.data.folder = source.folder(&recipe.data.folder);
        Ok(Self {
            recipe,
            states_input: true,
            states_classes: true,
            run_name: PathBuf::new(),
        })
    }

    /// The options for reading a folder of images: those of the flags, or else of the recipe, or else those that fit
    /// the model's input.
    fn folder(&self, source: &SourceArgs) -> FolderOptions {
        let mut folder = source.folder(&self.recipe.data.folder);
        if self.states_input {
            let [channels, height, width] = self.recipe.model.input;
            folder.image_size = folder.image_size.or(Some([height, width]));
            folder.channels = folder.channels.or(Some(channels));
        }
        folder
    }

    /// Fits the model to the dataset, as far as the recipe leaves it open. The size and channels of a folder of images
    /// are written into the recipe, so that the run can be resumed after images were added.
    pub fn fit_to(&mut self, dataset: &Dataset) {
        self.fit(dataset.train.shape, dataset.classes.len());
        if dataset.name == FOLDER {
            let [channels, height, width] = dataset.train.shape;
            self.recipe.data.folder.image_size = Some([height, width]);
            self.recipe.data.folder.channels = Some(channels);
        }
    }

    fn fit(&mut self, [channels, height, width]: [usize; 3], classes: usize) {
        let model = &mut self.recipe.model;
        if !self.states_input {
            // A model of three channels takes grey images, too, with their channel repeated.
            model.input = [channels.max(model.input[0]), height, width];
        }
        if !self.states_classes {
            model.classes = classes;
        }
    }
}

/// The dataset that the command line names, or implies by a folder of images; `None` if it does neither.
fn asked_dataset<'a>(settings: &'a [Setting], source: &SourceArgs) -> Option<&'a str> {
    let mut last_first = settings.iter().rev();
    let setting = last_first.find(|setting| setting.states("data.dataset"));
    let is_folder = || source.data_root.as_deref().is_some_and(is_image_folder);
    setting
        .and_then(Setting::text)
        .or_else(|| is_folder().then_some(FOLDER))
}

/// The name of the run folder: the name of the recipe, of the folder of the user's images, or of recipe and dataset.
fn run_name(recipe: &str, dataset: &str, is_own: bool, root: Option<&Path>) -> PathBuf {
    let stem = Path::new(recipe).file_stem().unwrap_or_default();
    match root.and_then(Path::file_name) {
        _ if is_own => PathBuf::from(stem),
        Some(folder) if dataset == FOLDER => PathBuf::from(folder),
        _ => PathBuf::from(format!("{}-{dataset}", stem.display())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::settings::SettingArgs;

    #[derive(Parser)]
    struct Flags {
        #[arg(long)]
        recipe: Option<String>,
        #[command(flatten)]
        settings: SettingArgs,
        #[command(flatten)]
        source: SourceArgs,
    }

    fn resolve(flags: &str) -> ResolvedRecipe {
        let words = ["noprop"].into_iter().chain(flags.split_whitespace());
        let flags = Flags::parse_from(words);
        let recipe = flags.recipe.as_deref();
        ResolvedRecipe::new(recipe, &flags.settings.settings, &flags.source).unwrap()
    }

    #[test]
    fn the_model_follows_the_dataset() {
        for (flags, input, classes, run) in [
            ("", [1, 28, 28], 10, "mnist-small"),
            ("--dataset cifar10", [3, 32, 32], 10, "cifar10-airbench"),
            ("--dataset cifar100", [3, 32, 32], 100, "cifar100-resnet18"),
            (
                "--dataset fashion-mnist",
                [1, 28, 28],
                10,
                "fashion-mnist-small",
            ),
            (
                "--recipe mnist-small --dataset cifar100",
                [3, 32, 32],
                100,
                "mnist-small-cifar100",
            ),
            (
                "--recipe cifar10-small --dataset mnist",
                [1, 28, 28],
                10,
                "cifar10-small-mnist",
            ),
            (
                "--recipe reference-mnist --dataset cifar10",
                [3, 32, 32],
                10,
                "reference-mnist-cifar10",
            ),
            (
                "--recipe paper-ct --set data.dataset=cifar10",
                [3, 32, 32],
                10,
                "paper-ct-cifar10",
            ),
            (
                "--dataset cifar10 --set model.classes=12",
                [3, 32, 32],
                12,
                "cifar10-airbench",
            ),
            // Stated by the recipe: grey images, repeated.
            (
                "--recipe reference-mnist",
                [3, 28, 28],
                10,
                "reference-mnist",
            ),
        ] {
            let resolved = resolve(flags);
            let model = &resolved.recipe.model;
            assert_eq!((model.input, model.classes), (input, classes), "{flags}");
            assert_eq!(resolved.run_name, PathBuf::from(run));
            resolved.recipe.validate().unwrap();
        }
    }

    #[test]
    fn a_folder_of_images_is_recognised_and_decides_what_is_left_open() {
        let root = tempfile::tempdir().unwrap();
        for class in ["a", "b", "c"] {
            std::fs::create_dir(root.path().join(class)).unwrap();
            image::RgbImage::new(2, 2)
                .save(root.path().join(class).join("x.png"))
                .unwrap();
        }
        let at = root.path().display();
        let resolved = resolve(&format!("--data-root {at} --image-size 16"));
        assert_eq!(resolved.recipe.data.dataset, FOLDER);
        assert_eq!(resolved.recipe.data.folder.image_size, Some([16, 16]));
        assert_eq!(
            resolved.run_name.as_os_str(),
            root.path().file_name().unwrap()
        );

        let file = root.path().join("r.toml");
        std::fs::write(
            &file,
            "[model]\ninput = [1, 40, 50]\n[data]\ndataset = \"folder\"\n",
        )
        .unwrap();
        let resolved = resolve(&format!("--data-root {at} --recipe {}", file.display()));
        assert_eq!(resolved.recipe.data.folder.image_size, Some([40, 50]));
        assert_eq!(resolved.recipe.data.folder.channels, Some(1));
        assert_eq!(resolved.run_name, PathBuf::from("r"));
    }
}
