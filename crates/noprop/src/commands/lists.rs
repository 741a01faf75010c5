//! `noprop recipes` and `noprop devices`: the recipes and the devices to choose from.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::devices::{self, DeviceChoice};
use crate::recipes::{self, BUILT_IN, BuiltInRecipe};

/// Arguments of `recipes`.
#[derive(Debug, Args)]
pub struct RecipesArgs {
    /// Print the file of this recipe, to make one of your own from it.
    name: Option<String>,
    /// Print one JSON object on standard output.
    #[arg(long, conflicts_with = "name")]
    json: bool,
}

pub fn recipes(args: &RecipesArgs) -> Result<()> {
    if let Some(name) = &args.name {
        let found = BUILT_IN.iter().find(|recipe| recipe.name == name);
        print!("{}", found.ok_or_else(|| recipes::unknown(name))?.text);
        return Ok(());
    }
    if args.json {
        let entry = |recipe: &BuiltInRecipe| json!({ "name": recipe.name, "description": recipe.description() });
        let all: Vec<Value> = BUILT_IN.iter().map(entry).collect();
        println!("{}", json!({ "recipes": all }));
        return Ok(());
    }
    for recipe in BUILT_IN {
        println!("{:<20} {}", recipe.name, recipe.description());
    }
    Ok(())
}

/// Arguments of `devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Print one JSON object on standard output.
    #[arg(long)]
    json: bool,
}

pub fn devices(args: &DevicesArgs) -> Result<()> {
    let adapters = devices::adapters();
    let auto = devices::choose(DeviceChoice::Auto)?.name;
    let cuda = cfg!(feature = "cuda");
    if args.json {
        let all = json!({ "auto": auto, "wgpu": adapters, "cuda_built_in": cuda });
        println!("{all}");
        return Ok(());
    }
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    println!("cpu     {cores} core(s)");
    for adapter in &adapters {
        println!(
            "wgpu:{}  {} ({}, {})",
            adapter.index, adapter.name, adapter.backend, adapter.kind
        );
    }
    if adapters.is_empty() {
        println!("wgpu    no adapter found");
    }
    let cuda = match cuda {
        true => "built in",
        false => "not built in (--features cuda)",
    };
    println!("cuda    {cuda}");
    println!("--device auto takes {auto}");
    Ok(())
}
