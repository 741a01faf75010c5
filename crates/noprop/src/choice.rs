//! Which dataset a training run takes, and the recipe made to fit it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use noprop_data::{Dataset, FolderOptions, is_image_folder};
use noprop_train::Recipe;

use crate::catalogue::{self, FOLDER};
use crate::cli::TrainArgs;
use crate::recipes;

/// A recipe, and what of it is left for the dataset to decide.
pub struct Choice {
    /// The recipe with all flags applied.
    pub recipe: Recipe,
    /// Whether the recipe itself states `model.input` and `model.classes` for this dataset.
    states_input: bool,
    states_classes: bool,
    /// Name of the run folder where none is given.
    pub run: PathBuf,
}

impl Choice {
    /// From `--recipe`, `--dataset`, `--data-root` and the other flags of a new run. A folder of
    /// images given with `--data-root` is the dataset unless `--dataset` says otherwise.
    ///
    /// # Errors
    /// When there is no such recipe, or a flag does not fit it.
    pub fn of(args: &TrainArgs) -> Result<Self> {
        let root = args.source.data_root.as_deref();
        let asked = args.overrides.dataset.clone().or_else(|| {
            root.filter(|root| is_image_folder(root))
                .map(|_| FOLDER.to_owned())
        });
        let default = || {
            let asked = asked.as_deref();
            let name = asked.map_or(recipes::DEFAULT, recipes::default_for);
            name.to_owned()
        };
        let name = args.recipe.clone().unwrap_or_else(default);
        let (mut recipe, text) = recipes::find_with_text(&name)?;
        let stated: toml::Table = text.parse().context("the recipe is no TOML")?;
        let is_stated = |key: &str| {
            let model = stated.get("model");
            model.is_some_and(|model| model.get(key).is_some())
        };
        let is_set = |key: &str| {
            let mut settings = args.overrides.settings.iter();
            settings.any(|setting| setting.states(&format!("model.{key}")))
        };

        let stem = PathBuf::from(&name)
            .file_stem()
            .unwrap_or_default()
            .to_owned();
        let own = recipe.data.dataset.clone();
        args.overrides.apply(&mut recipe)?;
        let dataset = asked.unwrap_or_else(|| recipe.data.dataset.clone());
        let published = catalogue::find(&dataset)
            .with_context(|| format!("the recipe {name}, data.dataset"))?;
        let is_own = dataset == own;
        let run = match root.and_then(|root| root.file_name()) {
            Some(folder) if dataset == FOLDER && !is_own => PathBuf::from(folder),
            _ if is_own => PathBuf::from(stem),
            _ => PathBuf::from(format!("{}-{dataset}", stem.display())),
        };
        recipe.data.dataset = dataset;
        let mut choice = Self {
            // What a recipe states, it states for its own dataset; what a flag sets holds for any.
            states_input: is_own && is_stated("input") || is_set("input"),
            states_classes: is_own && is_stated("classes") || is_set("classes"),
            recipe,
            run,
        };
        choice.recipe.data.folder = choice.folder(args);
        if let Some(published) = published {
            choice.fit(published.shape, published.classes.len());
        }
        Ok(choice)
    }

    /// The recipe of a run that goes on. Whatever depends on the dataset is decided in it; a flag
    /// that changes it makes the trainer refuse the checkpoint.
    ///
    /// # Errors
    /// When a flag does not fit it.
    pub fn resume(mut recipe: Recipe, args: &TrainArgs) -> Result<Self> {
        args.overrides.apply(&mut recipe)?;
        let data = &mut recipe.data;
        if let Some(dataset) = &args.overrides.dataset {
            data.dataset.clone_from(dataset);
        }
        data.folder = args.source.folder(&data.folder);
        Ok(Self {
            recipe,
            states_input: true,
            states_classes: true,
            run: PathBuf::new(),
        })
    }

    /// How to read a folder of images: by flags, by the recipe, as the model's input asks for.
    fn folder(&self, args: &TrainArgs) -> FolderOptions {
        let mut folder = args.source.folder(&self.recipe.data.folder);
        if self.states_input {
            let [channels, height, width] = self.recipe.model.input;
            folder.image_size = folder.image_size.or(Some([height, width]));
            folder.channels = folder.channels.or(Some(channels));
        }
        folder
    }

    /// Makes the model fit the dataset, as far as the recipe leaves it open. What was decided about
    /// a folder is written down, so that the run can be resumed when images are added.
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
            // A model of three channels takes grey images, too: repeated.
            model.input = [channels.max(model.input[0]), height, width];
        }
        if !self.states_classes {
            model.classes = classes;
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn choose(flags: &str) -> Choice {
        let words = ["noprop", "train"]
            .into_iter()
            .chain(flags.split_whitespace());
        let Command::Train(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not train");
        };
        Choice::of(&args).unwrap()
    }

    #[test]
    fn the_model_follows_the_dataset() {
        for (flags, input, classes, run) in [
            ("", [1, 28, 28], 10, "mnist-small"),
            ("--dataset cifar10", [3, 32, 32], 10, "cifar10-small"),
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
                "cifar10-small",
            ),
            // Stated by the recipe: grey images, repeated.
            (
                "--recipe reference-mnist",
                [3, 28, 28],
                10,
                "reference-mnist",
            ),
        ] {
            let choice = choose(flags);
            let model = &choice.recipe.model;
            assert_eq!((model.input, model.classes), (input, classes), "{flags}");
            assert_eq!(choice.run, PathBuf::from(run));
            choice.recipe.validate().unwrap();
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
        let choice = choose(&format!("--data-root {at} --image-size 16"));
        assert_eq!(choice.recipe.data.dataset, FOLDER);
        assert_eq!(choice.recipe.data.folder.image_size, Some([16, 16]));
        assert_eq!(choice.run.as_os_str(), root.path().file_name().unwrap());

        let file = root.path().join("r.toml");
        std::fs::write(
            &file,
            "[model]\ninput = [1, 40, 50]\n[data]\ndataset = \"folder\"\n",
        )
        .unwrap();
        let choice = choose(&format!("--data-root {at} --recipe {}", file.display()));
        assert_eq!(choice.recipe.data.folder.image_size, Some([40, 50]));
        assert_eq!(choice.recipe.data.folder.channels, Some(1));
        assert_eq!(choice.run, PathBuf::from("r"));
    }
}
