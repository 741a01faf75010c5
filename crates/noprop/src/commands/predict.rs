//! `noprop predict`.

use anyhow::Result;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use noprop_core::sampler::Sampling;
use noprop_core::{Features, NoProp, predicted_class};
use noprop_data::{DeviceSplit, Split, decode_image};
use serde_json::json;

use crate::adapters;
use crate::cli::PredictArgs;
use crate::run_folder;

/// T where none is asked for.
const STEPS: usize = 10;

/// Classes in the table.
const COLUMNS: usize = 10;

pub fn run(args: &PredictArgs) -> Result<()> {
    let chosen = adapters::choose(args.device.device)?;
    let (model, card, normalization) = run_folder::load_model(&args.run, &chosen.device)?;
    let sampling = Sampling {
        kind: args.sampler,
        steps: args.steps.or(card.model.blocks()).unwrap_or(STEPS),
        seed: args.seed,
    };
    sampling.check(&card.model)?;
    // A grey dataset on a three-channel model is one channel, repeated.
    let [_, height, width] = card.model.input;
    let shape = [card.mean.len(), height, width];
    let mut pixels = decode_image(&args.image, shape)?;
    if args.invert {
        pixels.iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
    }
    let split = Split::new(pixels, vec![0], shape, card.classes.len())?;
    let split = DeviceSplit::new(&split, &normalization, card.model.input[0], &chosen.device);

    let features = model.features(split.batch(&[0]).0);
    let walks = (0..args.votes as u64).map(|vote| {
        let seed = sampling.seed.wrapping_add(vote);
        probabilities_along(Sampling { seed, ..sampling }, &model, &features)
    });
    let sum = walks.reduce(|sum, walk| sum + walk);
    let mean = sum.expect("one vote at least") / args.votes as f64;
    // One read for all.
    let probabilities: Vec<f32> = mean.into_data().iter::<f32>().collect();
    let rows: Vec<&[f32]> = probabilities.chunks(card.classes.len()).collect();

    let last = rows[sampling.steps];
    let best = predicted_class(last);
    if args.json {
        let mut out = json!({
            "class": card.classes[best],
            "probability": last[best],
            "classes": card.classes,
            "probabilities": last,
            "sampler": args.sampler,
            "steps": sampling.steps,
            "seed": args.seed,
            "votes": args.votes,
        });
        if args.trajectory {
            out["trajectory"] = json!(rows);
        }
        println!("{out}");
        return Ok(());
    }
    println!("{} ({:.2} %)", card.classes[best], 100.0 * last[best]);
    let shown = if args.trajectory { 0 } else { sampling.steps };
    print_table(&card.classes, &rows[shown..], last);
    Ok(())
}

/// Class probabilities at every step of a walk of one image, `[T + 1, classes]`.
fn probabilities_along(sampling: Sampling, model: &NoProp, features: &Features) -> Tensor<2> {
    let z_0 = sampling.initial(model, 0, 1);
    let mut latents = vec![z_0.clone()];
    sampling.run_from(model, features, z_0, 0, &mut |_, z| latents.push(z.clone()));
    let rows = latents
        .into_iter()
        .map(|z| softmax(model.readout(features, z), 1));
    Tensor::cat(rows.collect(), 0)
}

/// Probabilities in percent, a line a step and a column a class: the likeliest ones in the end.
fn print_table(classes: &[String], rows: &[&[f32]], last: &[f32]) {
    let mut shown: Vec<usize> = (0..classes.len()).collect();
    shown.sort_by(|&a, &b| last[b].total_cmp(&last[a]));
    shown.truncate(COLUMNS);
    shown.sort_unstable();
    let width = |class: usize| classes[class].chars().count().max(6) + 1;
    let line = |cell: &dyn Fn(usize) -> String| -> String {
        let cells = shown
            .iter()
            .map(|&class| format!("{:>1$}", cell(class), width(class)));
        cells.collect()
    };
    println!("{:>6}{}", "class", line(&|class| classes[class].clone()));
    for (k, row) in rows.iter().enumerate() {
        let name = if rows.len() > 1 {
            format!("k={k}")
        } else {
            "%".to_owned()
        };
        println!(
            "{name:>6}{}",
            line(&|class| format!("{:.2}", 100.0 * row[class]))
        );
    }
}
