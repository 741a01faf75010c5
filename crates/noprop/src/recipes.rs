//! Recipes: built in, from a file, and overridden by flags.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use noprop_core::backbone::{BackboneConfig, CnnConfig, Depth, ResNetConfig};
use noprop_train::Recipe;

use crate::budget::Budget;
use crate::cli::Overrides;
use crate::hint::nearest;
use crate::setting;

/// The recipe of a bare `noprop train`.
pub const DEFAULT: &str = "mnist-small";

macro_rules! built_in {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../../recipes/", $name, ".toml")))),*]
    };
}

/// Of a dataset, the first one whose name starts with it is its default.
const BUILT_IN: [(&str, &str); 14] = built_in![
    "mnist-small",
    "mnist-resnet18",
    "mnist-cnn",
    "fashion-mnist-small",
    "cifar10-small",
    "cifar10-resnet18",
    "cifar100-resnet18",
    "paper-ct",
    "paper-fm",
    "paper-dt",
    "paper-backprop",
    "paper-adjoint",
    "reference-mnist",
    "reference-simple"
];

/// Name of the recipe of a bare `noprop train --dataset DATASET`.
pub fn default_for(dataset: &str) -> &'static str {
    let prefix = format!("{dataset}-");
    let names = BUILT_IN.map(|(name, _)| name);
    let own = names.into_iter().find(|name| name.starts_with(&prefix));
    // Photographs, as a user's own images are.
    own.unwrap_or("cifar10-small")
}

/// The recipe called `name`, or in the file `name`.
///
/// # Errors
/// When there is none, or it does not parse; an unknown key is answered with the nearest one.
pub fn find(name: &str) -> Result<Recipe> {
    find_with_text(name).map(|(recipe, _)| recipe)
}

/// As [`find`], with the text of the recipe: it tells what is stated and what is a default.
///
/// # Errors
/// As [`find`].
pub fn find_with_text(name: &str) -> Result<(Recipe, String)> {
    if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        let recipe = parse(text).with_context(|| format!("the built-in recipe {name}"))?;
        return Ok((recipe, (*text).to_owned()));
    }
    if !name.ends_with(".toml") && !Path::new(name).exists() {
        let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        return Err(anyhow!(
            "no recipe is called {name:?}{}; expected one of {}, or the path of a TOML file",
            nearest(name, &names)
                .map(|n| format!(", did you mean {n:?}?"))
                .unwrap_or_default(),
            names.join(", ")
        ));
    }
    let path = Path::new(name);
    let text = read_text(path)?;
    let recipe = parse(&text).with_context(|| format!("the recipe {}", path.display()))?;
    Ok((recipe, text))
}

/// The recipe in a file.
///
/// # Errors
/// When it cannot be read or does not parse.
pub fn read(path: &Path) -> Result<Recipe> {
    parse(&read_text(path)?).with_context(|| format!("the recipe {}", path.display()))
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("the recipe {} cannot be read", path.display()))
}

/// The recipe of a table.
///
/// # Errors
/// When a key is unknown, which is answered with the nearest one, or has the wrong type.
pub fn from_table(table: toml::Table) -> Result<Recipe> {
    table.try_into().map_err(explained)
}

fn parse(text: &str) -> Result<Recipe> {
    toml::from_str(text).map_err(explained)
}

fn explained(error: toml::de::Error) -> anyhow::Error {
    match suggestion(error.message()) {
        Some(near) => anyhow!("{}, did you mean `{near}`?", error.to_string().trim_end()),
        None => anyhow!("{}", error.to_string().trim_end()),
    }
}

/// The known key that is nearest to the unknown one that serde names.
fn suggestion(message: &str) -> Option<String> {
    if !message.starts_with("unknown") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    nearest(unknown, &known).map(str::to_owned)
}

impl Overrides {
    /// Applies the flags; those with a name of their own win over `--set`.
    ///
    /// # Errors
    /// When `--backbone` names none, or `--set` no key.
    pub fn apply(&self, recipe: &mut Recipe) -> Result<()> {
        *recipe = setting::apply(&self.settings, recipe)?;
        let set = |target: &mut usize, value: Option<usize>| *target = value.unwrap_or(*target);
        set(&mut recipe.train.epochs, self.epochs);
        set(&mut recipe.train.batch_size, self.batch_size);
        set(&mut recipe.model.time_dim, self.time_emb_dim);
        set(&mut recipe.model.embed_dim, self.embed_dim);
        set(&mut recipe.data.validation, self.validation);
        if let Some(Budget::Epochs(epochs)) = self.budget {
            recipe.train.epochs = epochs;
        }
        if let Some(embedding) = self.embedding {
            embedding.apply(&mut recipe.model);
        }
        recipe.data.limit = self.limit.or(recipe.data.limit);
        recipe.train.lr = self.lr.unwrap_or(recipe.train.lr);
        recipe.train.seed = self.seed.unwrap_or(recipe.train.seed);
        recipe.train.blocks = self.blocks.or(recipe.train.blocks);
        recipe.train.block_order = self.block_order.or(recipe.train.block_order);
        if let Some(name) = &self.backbone {
            recipe.model.backbone = backbone(name, &recipe.model.backbone)?;
        }
        Ok(())
    }
}

/// The backbone called `name`; a ResNet keeps stem and width of the recipe's.
fn backbone(name: &str, current: &BackboneConfig) -> Result<BackboneConfig> {
    if name == "cnn" {
        return Ok(BackboneConfig::Cnn(CnnConfig::default()));
    }
    let depth = name
        .strip_prefix("resnet")
        .and_then(|depth| depth.parse::<u32>().ok())
        .and_then(|depth| Depth::try_from(depth).ok())
        .ok_or_else(|| {
            anyhow!("no backbone is called {name:?}, expected resnet10, resnet18, resnet50, resnet152 or cnn")
        })?;
    let base = match current {
        BackboneConfig::Resnet(config) => config.clone(),
        BackboneConfig::Cnn(_) => ResNetConfig::default(),
    };
    Ok(BackboneConfig::Resnet(ResNetConfig { depth, ..base }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_recipes_are_valid() {
        for (name, _) in BUILT_IN {
            find(name)
                .unwrap()
                .validate()
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let error = parse("[train]\nepoch = 3\n").unwrap_err().to_string();
        assert!(error.contains("did you mean `epochs`?"), "{error}");
        let error = find("mnist-smal").unwrap_err().to_string();
        assert!(error.contains("did you mean \"mnist-small\"?"), "{error}");
    }

    #[test]
    fn flags_override_the_recipe() {
        let mut recipe = find(DEFAULT).unwrap();
        let flags = Overrides {
            epochs: Some(3),
            lr: Some(0.5),
            backbone: Some("resnet18".into()),
            ..Default::default()
        };
        flags.apply(&mut recipe).unwrap();
        assert_eq!((recipe.train.epochs, recipe.train.lr), (3, 0.5));
        assert!(matches!(
            recipe.model.backbone,
            BackboneConfig::Resnet(ResNetConfig {
                depth: Depth::ResNet18,
                ..
            })
        ));
        let flags = Overrides {
            backbone: Some("vgg".into()),
            ..Default::default()
        };
        assert!(
            flags
                .apply(&mut recipe)
                .unwrap_err()
                .to_string()
                .contains("resnet50")
        );
    }
}
