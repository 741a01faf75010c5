//! `noprop data list`.

use anyhow::Result;
use noprop_data::catalog::Published;
use noprop_data::{DatasetName, is_cached};
use serde_json::{Value, json};

use super::ListArgs;

pub fn run(args: &ListArgs) -> Result<()> {
    let published = DatasetName::ALL.iter().filter_map(|name| name.published());
    if args.json {
        let all: Vec<Value> = published.map(entry).collect();
        println!("{}", json!({ "datasets": all }));
        return Ok(());
    }
    println!(
        "{:<14} {:>10} {:>8} {:>7} {:>7}  files",
        "dataset", "image", "classes", "train", "test"
    );
    for set in published {
        let [c, h, w] = set.shape;
        let place = if is_cached(set) {
            "in the cache"
        } else {
            "to be fetched"
        };
        println!(
            "{:<14} {:>10} {:>8} {:>7} {:>7}  {place}, {}",
            set.key,
            format!("{c}×{h}×{w}"),
            set.classes.len(),
            set.images[0],
            set.images[1],
            set.home
        );
    }
    println!(
        "{:<14} your own images: train/CLASS and test/CLASS, or CLASS, in --data-root",
        DatasetName::Folder
    );
    Ok(())
}

fn entry(set: &Published) -> Value {
    json!({
        "dataset": set.key,
        "shape": set.shape,
        "classes": set.classes,
        "train": set.images[0],
        "test": set.images[1],
        "home": set.home,
        "cached": is_cached(set),
    })
}
