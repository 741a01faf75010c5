//! A training from data to run folder, for `noprop train` and for each row of `noprop reproduce`.

use core::fmt;
use core::str::FromStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use noprop_core::weights::Tensors;
use noprop_data::Loaded;
use noprop_train::{Evaluator, Flow, Recipe, Start, TrainEvent, Trainer, TrainerOptions};

use crate::dataset;
use crate::devices::{self, Chosen, DeviceChoice};
use crate::evaluation::{Plan, Table};
use crate::flags::SourceArgs;
use crate::progress::RunLog;
use crate::resolved_recipe::ResolvedRecipe;
use crate::run_folder::{RunFolder, read_state_dict};
use crate::settings::Setting;

/// A part of a training, as in `--budget 10m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// A number of epochs.
    Epochs(usize),
    /// A time, which includes that of evaluations.
    Time(Duration),
}

impl Budget {
    /// The time, if this is one.
    pub fn time(self) -> Option<Duration> {
        match self {
            Self::Epochs(_) => None,
            Self::Time(time) => Some(time),
        }
    }

    /// The setting of the recipe, if this is a number of epochs.
    pub fn setting(self) -> Option<Setting> {
        match self {
            Self::Epochs(epochs) => Some(Setting::count("train.epochs", epochs)),
            Self::Time(_) => None,
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(1) => write!(f, "1 epoch"),
            Self::Epochs(epochs) => write!(f, "{epochs} epochs"),
            Self::Time(time) => write!(f, "{}", humantime::format_duration(*time)),
        }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let budget = match text.parse() {
            Ok(epochs) => Self::Epochs(epochs),
            Err(_) => Self::Time(humantime::parse_duration(text).map_err(|_| {
                format!("{text:?} is neither a number of epochs nor a time such as 90s, 10m or 2h")
            })?),
        };
        match budget {
            Self::Epochs(0) | Self::Time(Duration::ZERO) => {
                Err("a budget of nothing trains nothing".into())
            }
            _ => Ok(budget),
        }
    }
}

/// A training that is ready to begin or to continue.
pub struct TrainJob {
    /// The recipe.
    pub recipe: ResolvedRecipe,
    /// The source of the images.
    pub source: SourceArgs,
    /// The devices that share each batch, at least one; the first one holds the weights.
    pub devices: Vec<DeviceChoice>,
    /// The number of threads on the CPU, if it is not the recipe's.
    pub threads: Option<usize>,
    /// The run folder.
    pub run: RunPlace,
    /// The time after which the training stops.
    pub time: Option<Duration>,
}

/// The run folder of a job.
pub enum RunPlace {
    /// A folder to be made.
    New {
        /// The path of the folder.
        path: PathBuf,
        /// Whether the folder may replace an earlier run.
        force: bool,
    },
    /// The folder of a run that continues from its newest checkpoint.
    Resumed(RunFolder),
}

/// The reason why a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The last epoch is done.
    Complete,
    /// The time of the budget is spent.
    BudgetSpent,
    /// Ctrl-C was pressed.
    Interrupted,
}

/// A training that has ended.
pub struct Trained {
    /// The reason why the training ended.
    pub end: End,
    /// The run folder.
    pub folder: RunFolder,
    /// The path of the weights file.
    pub weights: PathBuf,
    /// The recipe, fitted to the dataset.
    pub recipe: Recipe,
    trainer: Trainer,
}

impl TrainJob {
    /// Trains, and leaves a complete run folder. `report` is called with every event.
    ///
    /// # Errors
    /// When the recipe, the data and the devices do not fit each other, training diverges, or the run folder
    /// cannot be written.
    pub fn run(mut self, report: &mut dyn FnMut(&TrainEvent)) -> Result<Trained> {
        self.recipe.recipe.validate()?;
        let (chosen, more_devices) = self.choose_devices()?;
        let data = &self.recipe.recipe.data;
        let loaded = dataset::load(&data.dataset, &self.source, &data.folder)?;
        self.recipe.fit_to(&loaded.dataset);
        let start = self.start()?;
        let recipe = self.recipe.recipe;
        let options = TrainerOptions {
            threads: chosen.threads(self.threads.or(Some(recipe.train.threads))),
            device: chosen.device.clone(),
            more_devices,
            start,
        };
        // The trainer refuses what does not fit before a folder is made or replaced.
        let mut trainer = Trainer::new(recipe.clone(), &loaded.dataset, options)?;
        let folder = match self.run {
            RunPlace::New { path, force } => RunFolder::create(&path, force)?,
            RunPlace::Resumed(folder) => folder,
        };
        announce(&chosen, &loaded, &folder);
        folder.write("config.toml", toml::to_string_pretty(&recipe)?.as_bytes())?;
        let end = train(&mut trainer, &folder, self.time, report)?;
        let weights = folder.save_weights(&trainer.trained(), trainer.card())?;
        Ok(Trained {
            end,
            folder,
            weights,
            recipe,
            trainer,
        })
    }

    /// Returns the device that holds the weights, under the names of all devices, and the other devices.
    fn choose_devices(&self) -> Result<(Chosen, Vec<Device>)> {
        let mut chosen = self.devices.iter().map(|&choice| devices::choose(choice));
        let mut first = chosen.next().context("a training needs a device")??;
        let mut more = Vec::new();
        for other in chosen {
            let other = other?;
            first.name = format!("{} and {}", first.name, other.name);
            more.push(other.device);
        }
        Ok((first, more))
    }

    /// The initial weights.
    fn start(&self) -> Result<Start> {
        let recipe = &self.recipe.recipe;
        Ok(match (&self.run, &recipe.train.init_backbone) {
            (RunPlace::Resumed(folder), _) => {
                Start::Checkpoint(Box::new(folder.newest_checkpoint()?))
            }
            (RunPlace::New { .. }, Some(file)) => {
                Start::Backbone(backbone(Path::new(file), recipe)?)
            }
            (RunPlace::New { .. }, None) => Start::Scratch,
        })
    }
}

impl Trained {
    /// The accuracy on the test images, for each sampler that serves the model and for several T.
    ///
    /// # Errors
    /// When other runs train some of the model's blocks.
    pub fn table(&self) -> Result<Table> {
        let method = &self.recipe.method;
        let plan = Plan {
            samplers: Plan::all_samplers(method),
            steps: Plan::steps_or_own(method, &[1, 2, 5, 10, 20, 40, 60, 100]),
            base: self.recipe.eval_walk(),
            ..Plan::default()
        };
        let trainer = &self.trainer;
        let classifier = trainer.classifier()?;
        let (test, workers) = (trainer.test(), trainer.workers());
        Table::measure(&classifier, &plan, || {
            Ok(Evaluator::on_device(&classifier, test, workers))
        })
    }
}

/// Reads the weights from which the backbone starts, from a file of PyTorch or of this program.
fn backbone(file: &Path, recipe: &Recipe) -> Result<Tensors> {
    let state = read_state_dict(file)?;
    noprop_pytorch::backbone_tensors(state, &recipe.model)
        .with_context(|| format!("the backbone cannot start from {}", file.display()))
}

fn announce(chosen: &Chosen, loaded: &Loaded, folder: &RunFolder) {
    let dataset = &loaded.dataset;
    let [c, h, w] = dataset.train.shape;
    eprintln!(
        "training on {} with {} images of {c}×{h}×{w} in {} classes from {}, {} test images, run folder {}",
        chosen.name,
        dataset.train.len(),
        dataset.classes.len(),
        loaded.source,
        dataset.test.len(),
        folder.path().display()
    );
}

/// Runs the trainer's loop until it ends, Ctrl-C is pressed, or `time` is spent.
fn train(
    trainer: &mut Trainer,
    folder: &RunFolder,
    time: Option<Duration>,
    report: &mut dyn FnMut(&TrainEvent),
) -> Result<End> {
    let interrupted = interruption()?;
    let mut log = RunLog::new(folder)?;
    let start = Instant::now();
    let mut failure = None;
    let mut end = End::Complete;
    trainer.run(&mut |event| {
        report(&event);
        if let Err(error) = log.on(&event) {
            failure = Some(error);
            return Flow::Stop;
        }
        end = if matches!(event, TrainEvent::Finished { .. }) {
            End::Complete
        } else if interrupted.load(Ordering::SeqCst) {
            End::Interrupted
        } else if time.is_some_and(|time| start.elapsed() >= time) {
            End::BudgetSpent
        } else {
            return Flow::Continue;
        };
        Flow::Stop
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    log.finish(end != End::Interrupted)?;
    Ok(end)
}

/// Whether Ctrl-C was pressed. A second one ends the process at once.
fn interruption() -> Result<&'static AtomicBool> {
    static PRESSED: AtomicBool = AtomicBool::new(false);
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    let install = || {
        ctrlc::set_handler(|| {
            if PRESSED.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("finishing the step, then saving");
        })
        .is_ok()
    };
    if !INSTALLED.get_or_init(install) {
        bail!("Ctrl-C cannot be handled");
    }
    Ok(&PRESSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_epochs_and_a_unit_makes_a_time() {
        let parse = |text: &str| text.parse::<Budget>();
        assert_eq!(parse("3"), Ok(Budget::Epochs(3)));
        assert_eq!(parse("90s"), Ok(Budget::Time(Duration::from_secs(90))));
        assert_eq!(parse("1h 30m").unwrap().to_string(), "1h 30m");
        for wrong in ["0", "0s", "-3", "ten", "3 parsecs", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
