//! `noprop devices`.

use anyhow::Result;
use serde_json::json;

use crate::adapters::{self, DeviceChoice};
use crate::cli::DevicesArgs;

pub fn run(args: &DevicesArgs) -> Result<()> {
    let adapters = adapters::adapters();
    let auto = adapters::choose(DeviceChoice::Auto)?.name;
    let cuda = cfg!(feature = "cuda");
    if args.json {
        println!(
            "{}",
            json!({ "auto": auto, "wgpu": adapters, "cuda_built_in": cuda })
        );
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
    println!(
        "cuda    {}",
        if cuda {
            "built in"
        } else {
            "not built in (--features cuda)"
        }
    );
    println!("--device auto takes {auto}");
    Ok(())
}
