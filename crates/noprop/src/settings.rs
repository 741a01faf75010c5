//! Settings: keys of a recipe and their values, given on the command line.
//!
//! `--set KEY=VALUE` sets any key. [`SHORTCUTS`] is the table of the keys that have a flag of their own;
//! such a flag is a [`Setting`], too, and is applied by the same code.

use core::fmt;
use core::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use noprop_train::Recipe;
use toml::{Table, Value};

use crate::embedding::Embedding;
use crate::recipes;
use crate::shortcuts::{BACKBONES, SHORTCUTS, Shortcut};

/// A key of a recipe, such as `method.max_snr`, and its value.
///
/// Two tables of the recipe can be set by a name alone: `model.backbone` by one of [`BACKBONES`], where a ResNet keeps
/// the stem and the width of the recipe, and `model.class_embedding` by an [`Embedding`].
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    key: String,
    value: Value,
    /// The flag that gave the setting, if it was not `--set`.
    flag: Option<&'static str>,
}

impl Setting {
    /// The setting of `key` to `value`.
    pub fn new(key: &str, value: impl Into<Value>) -> Self {
        Self {
            key: key.to_owned(),
            value: value.into(),
            flag: None,
        }
    }

    /// The setting of `key` to a whole number.
    pub fn count(key: &str, value: usize) -> Self {
        Self::new(key, i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// The setting that a shortcut makes of the text of its value. The parser of the shortcut has accepted the text.
    fn of_shortcut(shortcut: &Shortcut, text: &str) -> Self {
        Self {
            flag: Some(shortcut.flag),
            ..Self::new(shortcut.key, value_of(text))
        }
    }

    /// Whether this is the setting of `key`, or of a key inside it.
    pub fn states(&self, key: &str) -> bool {
        let rest = self.key.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// The value, if it is text.
    pub fn text(&self) -> Option<&str> {
        self.value.as_str()
    }

    /// The words of the command line that give this setting.
    fn words(&self) -> String {
        match (self.flag, self.value.as_str()) {
            (Some(flag), Some(text)) => format!("--{flag} {text}"),
            (Some(flag), None) => format!("--{flag} {}", self.value),
            (None, _) => format!("--set {self}"),
        }
    }

    /// Puts the setting into the table of a recipe, with a name alone spelled out as a table.
    fn insert(&self, recipe: &mut Table) -> Result<()> {
        match (self.key.as_str(), &self.value) {
            ("model.backbone", Value::String(name)) => insert_backbone(name, recipe),
            ("model.class_embedding", Value::String(name)) => {
                insert_embedding(name.parse().map_err(anyhow::Error::msg)?, recipe)
            }
            // The number of a single block is parsed as an integer.
            ("train.blocks", Value::Integer(block)) => put(recipe, &self.key, block.to_string()),
            _ => put(recipe, &self.key, self.value.clone()),
        }
    }
}

/// Puts `value` under the dotted `key`. A `kind` that differs from that of its table removes all other keys of the
/// table, and another method also the walk of the evaluation, which was that of the old method.
fn put(recipe: &mut Table, key: &str, value: impl Into<Value>) -> Result<()> {
    let value = value.into();
    let is_other_method = key == "method.kind"
        && recipe.get("method").and_then(|method| method.get("kind")) != Some(&value);
    if is_other_method && let Some(Value::Table(eval)) = recipe.get_mut("eval") {
        eval.remove("sampler");
        eval.remove("steps");
    }
    let mut parents: Vec<&str> = key.split('.').collect();
    let last = parents.pop().context("a key has a name")?;
    let mut table = recipe;
    for parent in parents {
        let entry = table
            .entry(parent)
            .or_insert_with(|| Value::Table(Table::new()));
        table = entry
            .as_table_mut()
            .ok_or_else(|| anyhow!("{parent} is a value of the recipe, so there is no {key}"))?;
    }
    if last == "kind" && table.get(last) != Some(&value) {
        // The keys of one kind mean nothing to another kind.
        table.clear();
    }
    table.insert(last.to_owned(), value);
    Ok(())
}

fn insert_backbone(name: &str, recipe: &mut Table) -> Result<()> {
    if !BACKBONES.contains(&name) {
        let names = BACKBONES.join(", ");
        bail!("no backbone is called {name:?}, expected one of {names}");
    }
    match name.strip_prefix("resnet") {
        Some(depth) => {
            put(recipe, "model.backbone.kind", "resnet")?;
            put(recipe, "model.backbone.depth", value_of(depth))
        }
        None => put(recipe, "model.backbone.kind", name),
    }
}

fn insert_embedding(embedding: Embedding, recipe: &mut Table) -> Result<()> {
    let config = Table::try_from(embedding.config())?;
    put(recipe, "model.class_embedding", config)?;
    // Latents of image size have a convolutional encoder of their own (figure 6); no other latents have it.
    let model = recipe
        .get("model")
        .and_then(|model| model.get("label_encoder"));
    let is_image = model.is_some_and(|encoder| encoder.as_str() == Some("image"));
    match (embedding == Embedding::Prototype, is_image) {
        (true, false) => put(recipe, "model.label_encoder", "image"),
        (false, true) => put(recipe, "model.label_encoder", "linear"),
        _ => Ok(()),
    }
}

/// Applies all of `settings` to a recipe, in their order.
///
/// # Errors
/// When the recipe has no such key, or the key has another type. For an unknown key the error names the nearest known
/// one.
pub fn apply(settings: &[Setting], recipe: &Recipe) -> Result<Recipe> {
    let mut table = Table::try_from(recipe)?;
    for setting in settings {
        setting
            .insert(&mut table)
            .with_context(|| setting.words())?;
    }
    let all: Vec<_> = settings.iter().map(Setting::words).collect();
    recipes::from_table(table).with_context(|| all.join(" "))
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not KEY=VALUE as in method.max_snr=1 or eval.sampler=ddim");
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        let (key, value) = (key.trim(), value.trim());
        if value.is_empty() || key.split('.').any(str::is_empty) {
            return Err(wrong());
        }
        Ok(Self::new(key, value_of(value)))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// The value that `text` is in TOML, or else the text itself, so that a word needs no quotes.
fn value_of(text: &str) -> Value {
    let parsed = || {
        let mut table: Table = format!("value = {text}").parse().ok()?;
        table.remove("value").filter(|_| table.is_empty())
    };
    parsed().unwrap_or_else(|| Value::from(text))
}

/// The flags of a command that set keys of its recipe: `--set`, and [`SHORTCUTS`], which win over it.
#[derive(Debug, Clone, Default)]
pub struct SettingArgs {
    /// All settings, in the order in which they are applied.
    pub settings: Vec<Setting>,
}

const SET: &str = "set";

impl Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        let set = Arg::new(SET)
            .long(SET)
            .value_name("KEY=VALUE")
            .action(ArgAction::Append)
            .value_parser(|text: &str| text.parse::<Setting>())
            .help(
                "Set any key of the recipe, as in method.max_snr=1 or train.lr_schedule=one-cycle; can be \
                 repeated",
            );
        let shortcuts = SHORTCUTS.iter().map(|shortcut| {
            Arg::new(shortcut.flag)
                .long(shortcut.flag)
                .value_name(shortcut.value)
                .value_parser((shortcut.parser)())
                .help(shortcut.help)
        });
        command.arg(set).args(shortcuts)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let set = matches.get_many::<Setting>(SET).into_iter().flatten();
        let shortcuts = SHORTCUTS.iter().filter_map(|shortcut| {
            let text = matches.get_raw(shortcut.flag)?.next()?.to_str()?;
            Some(Setting::of_shortcut(shortcut, text))
        });
        Ok(Self {
            settings: set.cloned().chain(shortcuts).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use noprop_core::Method;
    use noprop_core::backbone::{BackboneConfig, Depth, ResNetConfig};
    use noprop_core::config::LabelEncoderConfig;
    use noprop_core::embedding::ClassEmbeddingConfig;
    use noprop_core::method::Ct;
    use noprop_core::sampler::DDIM;

    use super::*;

    fn set(settings: &[&str]) -> Result<Recipe> {
        let settings: Vec<Setting> = settings.iter().map(|text| text.parse().unwrap()).collect();
        apply(&settings, &recipes::find("paper-ct").unwrap())
    }

    /// The recipe that flags make of `mnist-small`.
    fn flags(words: &str) -> Result<Recipe> {
        let command = SettingArgs::augment_args(Command::new("noprop").no_binary_name(true));
        let matches = command.try_get_matches_from(words.split_whitespace())?;
        let given = SettingArgs::from_arg_matches(&matches)?;
        apply(&given.settings, &recipes::find("mnist-small")?)
    }

    #[test]
    fn any_key_can_be_set() {
        let recipe = set(&[
            "method.max_snr=1",
            "train.lr = 3e-3",
            "eval.sampler=ddim",
            "model.head.hidden=[64, 32]",
            "data.augment.flip=true",
            "train.blocks=3",
        ])
        .unwrap();
        let bound = |method: &Method| match method {
            Method::Ct(Ct { max_snr, .. }) => *max_snr,
            _ => None,
        };
        assert_eq!(bound(&recipe.method), Some(1.0));
        assert_eq!(recipe.train.lr, 3e-3);
        assert_eq!(recipe.eval.sampler, Some(DDIM));
        assert_eq!(recipe.model.head.hidden, [64, 32]);
        assert_eq!(recipe.data.augment.flip, noprop_data::augment::Flip::Random);
        assert_eq!(recipe.train.blocks, Some("3".parse().unwrap()));
    }

    #[test]
    fn another_kind_forgets_the_settings_of_the_old_one() {
        let recipe = set(&["method.kind=fm"]).unwrap();
        assert!(matches!(recipe.method, Method::Fm(_)));
        // The sampler and T of NoProp-CT's recipe serve no other method.
        let control = set(&["method.kind=classifier"]).unwrap();
        assert_eq!(control.eval_walk().sampler.name, "direct");
        control.validate().unwrap();
        let asked = set(&["method.kind=fm", "eval.sampler=euler"]).unwrap();
        assert_eq!(asked.eval.sampler.unwrap().name, "euler");
    }

    #[test]
    fn a_shortcut_sets_its_key_and_wins_over_set() {
        let recipe = flags("--epochs 3 --lr 5e-1 --set train.epochs=9 --time-dim 32").unwrap();
        assert_eq!((recipe.train.epochs, recipe.train.lr), (3, 0.5));
        assert_eq!(recipe.model.time_dim, 32);
        let table = Table::try_from(flags("").unwrap()).unwrap();
        for shortcut in SHORTCUTS {
            // A key without a value is missing in the table, but its parent table is there.
            let (parent, _) = shortcut.key.rsplit_once('.').unwrap();
            assert!(table.contains_key(parent), "{}", shortcut.key);
        }
    }

    #[test]
    fn a_backbone_and_an_embedding_have_names() {
        let small = recipes::find("cifar10-small").unwrap();
        let settings = ["model.backbone=resnet18", "model.class_embedding=prototype"];
        let settings = settings.map(|text| text.parse::<Setting>().unwrap());
        let recipe = apply(&settings, &small).unwrap();
        let BackboneConfig::Resnet(ResNetConfig { depth, width, .. }) = recipe.model.backbone
        else {
            panic!("no ResNet");
        };
        // The width of the recipe's ResNet-10 stays.
        assert_eq!((depth, width), (Depth::ResNet18, 24));
        assert_eq!(recipe.model.label_encoder, LabelEncoderConfig::Image);

        let text = "model.class_embedding=dim20".parse::<Setting>().unwrap();
        let recipe = apply(&[text], &recipe).unwrap();
        let embedding = recipe.model.class_embedding;
        let is_learned =
            |config| matches!(config, ClassEmbeddingConfig::Learned { dim: Some(20), .. });
        assert!(is_learned(embedding));
        assert_eq!(recipe.model.label_encoder, LabelEncoderConfig::Linear);

        let recipe = flags("--backbone cnn").unwrap();
        assert!(matches!(recipe.model.backbone, BackboneConfig::Cnn(_)));
        let error = format!("{:#}", set(&["model.backbone=vgg"]).unwrap_err());
        assert!(
            error.contains("vgg") && error.contains("resnet50"),
            "{error}"
        );
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
        assert!(flags("--epochs three").is_err() && flags("--backbone vgg").is_err());
    }
}
