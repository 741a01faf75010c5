//! `--set train.lr=0.1`: any key of a recipe, from the command line.

use core::fmt;
use core::str::FromStr;

use anyhow::{Context, Result, anyhow};
use noprop_train::Recipe;
use toml::{Table, Value};

use crate::recipes;

/// A key of a recipe, such as `objective.max_weight`, and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    key: String,
    value: Value,
}

impl Setting {
    /// Of a key and its value.
    pub fn new(key: &str, value: impl Into<Value>) -> Self {
        Self {
            key: key.to_owned(),
            value: value.into(),
        }
    }

    /// Whether this is the setting of `key`, or of something in it.
    pub fn states(&self, key: &str) -> bool {
        let rest = self.key.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    fn insert(&self, recipe: &mut Table) -> Result<()> {
        let mut parents: Vec<&str> = self.key.split('.').collect();
        let last = parents.pop().context("a key has a name")?;
        let mut table = recipe;
        for parent in parents {
            let entry = table
                .entry(parent)
                .or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().ok_or_else(|| {
                anyhow!(
                    "{parent} is a value of the recipe, so there is no {}",
                    self.key
                )
            })?;
        }
        if last == "kind" && table.get(last) != Some(&self.value) {
            // What another kind is set to means nothing to this one.
            table.clear();
        }
        table.insert(last.to_owned(), self.value.clone());
        Ok(())
    }
}

/// The recipe with all of `settings`, in their order.
///
/// # Errors
/// When a recipe has no such key (answered with the nearest one), or the key another type.
pub fn apply(settings: &[Setting], recipe: &Recipe) -> Result<Recipe> {
    let mut table = Table::try_from(recipe)?;
    for setting in settings {
        setting
            .insert(&mut table)
            .with_context(|| format!("--set {setting}"))?;
    }
    let all: Vec<_> = settings.iter().map(Setting::to_string).collect();
    recipes::from_table(table).with_context(|| format!("--set {}", all.join(" --set ")))
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not KEY=VALUE as in objective.max_weight=1 or eval.sampler=ddim")
        };
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        let (key, value) = (key.trim(), value.trim());
        if value.is_empty() || key.split('.').any(str::is_empty) {
            return Err(wrong());
        }
        // A word needs no quotes.
        let value = toml_value(value).unwrap_or_else(|| Value::from(value));
        Ok(Self::new(key, value))
    }
}

fn toml_value(text: &str) -> Option<Value> {
    let mut table: Table = format!("value = {text}").parse().ok()?;
    table.remove("value").filter(|_| table.is_empty())
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use noprop_core::SamplerKind;
    use noprop_core::objective::ObjectiveConfig;

    use super::*;

    fn set(settings: &[&str]) -> Result<Recipe> {
        let settings: Vec<Setting> = settings.iter().map(|text| text.parse().unwrap()).collect();
        apply(&settings, &recipes::find("paper-ct").unwrap())
    }

    #[test]
    fn any_key_can_be_set() {
        let recipe = set(&[
            "objective.max_weight=1",
            "train.lr = 3e-3",
            "eval.sampler=ddim",
            "model.head.hidden=[64, 32]",
            "data.augment.flip=true",
        ])
        .unwrap();
        let bounded = |objective: &ObjectiveConfig| matches!(objective, ObjectiveConfig::Ct { max_weight: Some(bound), .. } if *bound == 1.0);
        assert!(bounded(&recipe.objective));
        assert_eq!(recipe.train.lr, 3e-3);
        assert_eq!(recipe.eval.sampler, SamplerKind::Ddim);
        assert_eq!(recipe.model.head.hidden, [64, 32]);
        assert!(recipe.data.augment.flip);
    }

    #[test]
    fn another_kind_forgets_the_settings_of_the_old_one() {
        let recipe = set(&["objective.kind=fm", "model.schedule.kind=flow"]).unwrap();
        assert!(matches!(recipe.objective, ObjectiveConfig::Fm { .. }));
    }

    #[test]
    fn what_no_recipe_has_is_refused() {
        for (setting, says) in [
            ("train.epoch=3", "did you mean `epochs`?"),
            ("train.epochs=three", "train.epochs=\"three\""),
            ("train.epochs.x=3", "epochs is a value"),
        ] {
            let error = format!("{:#}", set(&[setting]).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
        for text in ["train.epochs", "=3", "train..lr=1", "train.lr="] {
            assert!(text.parse::<Setting>().is_err(), "{text}");
        }
    }
}
