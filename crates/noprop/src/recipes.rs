//! Recipes by name or by file: those that are built into the program, and a user's own.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use noprop_train::Recipe;

use crate::hints::nearest;

/// The name of the recipe of `noprop train` without flags.
pub const DEFAULT: &str = "mnist-small";

/// A recipe that is built into the program.
#[derive(Debug, Clone, Copy)]
pub struct BuiltInRecipe {
    /// The name that `--recipe` takes.
    pub name: &'static str,
    /// The content of the file: TOML with comments.
    pub text: &'static str,
}

macro_rules! built_in {
    ($($name:literal),*) => {
        [$(BuiltInRecipe {
            name: $name,
            text: include_str!(concat!("../../../recipes/", $name, ".toml")),
        }),*]
    };
}

/// The recipes that are built into the program, in the order of `noprop recipes`. The first recipe whose name starts
/// with the name of a dataset is the default of that dataset.
pub const BUILT_IN: [BuiltInRecipe; 16] = built_in![
    "mnist-small",
    "mnist-resnet18",
    "mnist-cnn",
    "fashion-mnist-small",
    "cifar10-airbench",
    "cifar10-small",
    "cifar10-resnet18",
    "cifar10-dt",
    "cifar100-resnet18",
    "paper-ct",
    "paper-fm",
    "paper-dt",
    "paper-backprop",
    "paper-adjoint",
    "reference-mnist",
    "reference-simple"
];

impl BuiltInRecipe {
    /// The first sentence of the comment at the top of the file.
    pub fn description(&self) -> String {
        let lines = self.text.lines();
        let comment: Vec<&str> = lines.map_while(|line| line.strip_prefix("# ")).collect();
        let comment = comment.join(" ");
        let (sentence, _) = comment.split_once(". ").unwrap_or((&comment, ""));
        sentence.trim_end_matches('.').to_owned()
    }
}

/// The name of the recipe of `noprop train --dataset DATASET`.
pub fn default_for(dataset: &str) -> &'static str {
    let prefix = format!("{dataset}-");
    let names = BUILT_IN.map(|recipe| recipe.name);
    let own = names.into_iter().find(|name| name.starts_with(&prefix));
    // A user's own images are photographs more often than digits.
    own.unwrap_or("cifar10-small")
}

/// The recipe that is called `name`, or that is in the file `name`.
///
/// # Errors
/// When there is no such recipe, or it does not parse. For an unknown key the error names the nearest known one.
pub fn find(name: &str) -> Result<Recipe> {
    find_with_text(name).map(|(recipe, _)| recipe)
}

/// The recipe that is called `name` or is in the file `name`, and the text of its file, which tells the stated settings
/// from the defaults.
///
/// # Errors
/// When there is no such recipe, or it does not parse.
pub fn find_with_text(name: &str) -> Result<(Recipe, String)> {
    if let Some(built_in) = BUILT_IN.iter().find(|built_in| built_in.name == name) {
        let recipe = parse(built_in.text).with_context(|| format!("the built-in recipe {name}"))?;
        return Ok((recipe, built_in.text.to_owned()));
    }
    if !name.ends_with(".toml") && !Path::new(name).exists() {
        return Err(unknown(name));
    }
    let path = Path::new(name);
    let text = read_text(path)?;
    let recipe = parse(&text).with_context(|| format!("the recipe {}", path.display()))?;
    Ok((recipe, text))
}

/// The error that says that no recipe is called `name`.
pub fn unknown(name: &str) -> anyhow::Error {
    let names = BUILT_IN.map(|recipe| recipe.name);
    let near = nearest(name, &names).map(|near| format!(", did you mean {near:?}?"));
    anyhow!(
        "no recipe is called {name:?}{}; expected one of {}, or the path of a TOML file",
        near.unwrap_or_default(),
        names.join(", ")
    )
}

/// The recipe in a file.
///
/// # Errors
/// When the file cannot be read or does not parse.
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
/// When a key is unknown or has the wrong type. For an unknown key the error names the nearest known one.
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

/// The known key that is nearest to the unknown one that the message of serde names.
fn suggestion(message: &str) -> Option<String> {
    if !message.starts_with("unknown") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    nearest(unknown, &known).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_recipes_are_valid_and_described_in_one_line() {
        for built_in in BUILT_IN {
            let name = built_in.name;
            let recipe = find(name).unwrap();
            recipe.validate().unwrap_or_else(|e| panic!("{name}: {e}"));
            let description = built_in.description();
            assert!(
                (20..140).contains(&description.chars().count()),
                "{name}: {description}"
            );
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let error = parse("[train]\nepoch = 3\n").unwrap_err().to_string();
        assert!(error.contains("did you mean `epochs`?"), "{error}");
        let error = find("mnist-smal").unwrap_err().to_string();
        assert!(error.contains("did you mean \"mnist-small\"?"), "{error}");
    }
}
