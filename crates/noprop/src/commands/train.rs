//! `noprop train`: a training, from a recipe to a run folder.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Arg, Args};

use crate::devices::DeviceChoice;
use crate::flags::{DeviceArgs, SourceArgs, note_equal_votes};
use crate::job::{Budget, End, RunPlace, TrainJob, Trained};
use crate::progress::Console;
use crate::resolved_recipe::ResolvedRecipe;
use crate::run_folder::RunFolder;
use crate::settings::{Setting, SettingArgs};
use crate::shortcuts::SHORTCUTS;

/// Arguments of `train`.
#[derive(Debug, Args)]
#[command(mut_args(under_headings))]
pub struct TrainArgs {
    /// Name of a recipe (`noprop recipes` lists them), or a TOML file [default: that of the dataset].
    #[arg(long, value_name = "NAME|FILE")]
    recipe: Option<String>,
    /// Settings of the recipe.
    #[command(flatten)]
    settings: SettingArgs,
    /// Run folder to create [default: runs/ and the name of the recipe or of your folder].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in this folder, from its newest checkpoint.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "out", "force"])]
    resume: Option<PathBuf>,
    /// Replace the run folder if it exists.
    #[arg(long)]
    force: bool,
    /// Print the recipe with all settings applied, and train nothing.
    #[arg(long)]
    show_recipe: bool,
    /// Train less than the recipe: for a number of epochs, or for a time such as 90s, 10m or 2h. The time is checked
    /// between steps; an evaluation is not interrupted.
    #[arg(long, value_name = "EPOCHS|TIME", conflicts_with = "epochs")]
    budget: Option<Budget>,
    /// Start the backbone from weights of PyTorch (.pt or .safetensors), such as a ResNet of
    /// torchvision. Its last layer starts at random.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    init_backbone: Option<PathBuf>,
    /// Leave out the table of accuracies over samplers and T at the end.
    #[arg(long)]
    no_table: bool,
    /// Device.
    #[command(flatten)]
    device: DeviceArgs,
    /// Share each batch among several devices, separated by commas as in cuda:0,cuda:1.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "DEVICE",
        conflicts_with = "device"
    )]
    devices: Vec<DeviceChoice>,
    /// Dataset source.
    #[command(flatten)]
    source: SourceArgs,
}

/// The flags that a user needs first. With the shortcuts in [`SHORTCUTS`] that are marked so, there are ten.
const FIRST: [&str; 6] = ["recipe", "set", "data_root", "out", "resume", "device"];

/// Lists the flags that a user needs first at the top of the help, and the others under a heading.
fn under_headings(arg: Arg) -> Arg {
    let id = arg.get_id().as_str();
    let shortcut = SHORTCUTS.iter().find(|shortcut| shortcut.flag == id);
    let is_first = FIRST.contains(&id) || shortcut.is_some_and(|shortcut| shortcut.first);
    arg.help_heading((!is_first).then_some("More options"))
}

pub fn run(args: &TrainArgs) -> Result<()> {
    let job = args.job()?;
    if args.show_recipe {
        job.recipe.recipe.validate()?;
        print!("{}", toml::to_string_pretty(&job.recipe.recipe)?);
        return Ok(());
    }
    crate::pipe::go_on_unread();
    let recipe = &job.recipe.recipe;
    note_equal_votes(recipe.eval.votes, &[recipe.eval_walk()]);
    let mut console = Console::new(recipe.train.batch_size, recipe.part());
    let trained = job.run(&mut |event| console.on(event))?;
    conclude(&trained, !args.no_table)
}

impl TrainArgs {
    fn job(&self) -> Result<TrainJob> {
        let settings = self.settings();
        let (recipe, run) = match &self.resume {
            Some(path) => {
                let folder = RunFolder::open(path)?;
                let recipe = folder.recipe()?;
                let recipe = ResolvedRecipe::resumed(&recipe, &settings, &self.source)?;
                (recipe, RunPlace::Resumed(folder))
            }
            None => {
                let recipe = self.recipe.as_deref();
                let recipe = ResolvedRecipe::new(recipe, &settings, &self.source)?;
                let usual = || Path::new("runs").join(&recipe.run_name);
                let path = self.out.clone().unwrap_or_else(usual);
                let force = self.force;
                (recipe, RunPlace::New { path, force })
            }
        };
        Ok(TrainJob {
            recipe,
            source: self.source.clone(),
            devices: match self.devices.as_slice() {
                [] => vec![self.device.device],
                devices => devices.to_vec(),
            },
            threads: self.device.threads,
            run,
            time: self.budget.and_then(Budget::time),
        })
    }

    /// The settings of the recipe that all flags give.
    fn settings(&self) -> Vec<Setting> {
        let mut settings = self.settings.settings.clone();
        settings.extend(self.budget.and_then(Budget::setting));
        let file = self.init_backbone.as_ref();
        settings.extend(
            file.map(|file| Setting::new("train.init_backbone", file.display().to_string())),
        );
        settings
    }
}

/// Prints how the training ended and what to do next, and the final table if it is wanted.
fn conclude(trained: &Trained, table: bool) -> Result<()> {
    let again = format!("noprop train --resume {}", trained.folder.path().display());
    match trained.end {
        End::Interrupted => {
            println!("stopped; continue with: {again}");
            return Ok(());
        }
        End::BudgetSpent => println!("the budget is spent; continue with: {again}"),
        End::Complete => {}
    }
    let weights = trained.weights.display();
    let recipe = &trained.recipe;
    if let (Some(part), Some(all)) = (recipe.part(), recipe.method.blocks()) {
        println!(
            "weights of blocks {part} of 1-{all}: {weights}; join them with the others by `noprop merge`"
        );
        return Ok(());
    }
    if table {
        println!("Final evaluation on {}:", recipe.data.dataset);
        trained.table()?.print();
    }
    println!("weights: {weights}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn ten_flags_come_first_in_the_help() {
        let command = TrainArgs::augment_args(Command::new("train"));
        let first = command
            .get_arguments()
            .filter(|arg| arg.get_help_heading().is_none());
        assert_eq!(first.count(), 10);
    }
}
