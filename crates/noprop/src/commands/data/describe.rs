//! `noprop data DATASET`.

use anyhow::Result;
use noprop_data::FolderOptions;
use serde_json::json;

use super::DescribeArgs;

pub fn run(args: &DescribeArgs) -> Result<()> {
    let dataset = crate::dataset::load(
        args.dataset,
        &args.source,
        &args.source.folder(&FolderOptions::default()),
    )?;
    let classes = dataset.classes.len();
    let (train, test) = (
        dataset.train.class_counts(classes),
        dataset.test.class_counts(classes),
    );
    if args.json {
        println!(
            "{}",
            json!({
                "dataset": dataset.name,
                "source": dataset.source.to_string(),
                "shape": dataset.train.shape,
                "classes": dataset.classes,
                "normalization": dataset.normalization,
                "train": { "images": dataset.train.len(), "per_class": train },
                "test": { "images": dataset.test.len(), "per_class": test },
            })
        );
        return Ok(());
    }
    let [c, h, w] = dataset.train.shape;
    println!("{} from {}", dataset.name, dataset.source);
    println!(
        "{} training and {} test images of {c}×{h}×{w}",
        dataset.train.len(),
        dataset.test.len()
    );
    for (i, class) in dataset.classes.iter().enumerate() {
        println!("  {class:<14} {:>6} {:>6}", train[i], test[i]);
    }
    Ok(())
}
