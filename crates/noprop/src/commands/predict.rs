//! `noprop predict`.

use anyhow::Result;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use noprop_core::predicted_class;
use noprop_core::sampler::Sampling;
use noprop_data::{DeviceSplit, Split, decode_image};
use serde_json::json;

use crate::adapters;
use crate::cli::PredictArgs;
use crate::run_folder;

pub fn run(args: &PredictArgs) -> Result<()> {
    let chosen = adapters::choose(args.device.device)?;
    let (model, card, normalization) = run_folder::load_model(&args.run, &chosen.device)?;
    args.sampler.check(&card.model)?;
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
    let sampling = Sampling {
        kind: args.sampler,
        steps: args.steps,
        seed: args.seed,
    };
    let z_0 = sampling.initial(&model, 0, 1);
    let mut latents = vec![z_0.clone()];
    sampling.run_from(&model, &features, z_0, 0, &mut |_, z| {
        latents.push(z.clone())
    });
    // One read for the whole trajectory.
    let rows: Vec<Tensor<2>> = latents
        .into_iter()
        .map(|z| softmax(model.readout(&features, z), 1))
        .collect();
    let probabilities: Vec<f32> = Tensor::cat(rows, 0).into_data().iter::<f32>().collect();
    let rows: Vec<&[f32]> = probabilities.chunks(card.classes.len()).collect();

    let last = rows[args.steps];
    let best = predicted_class(last);
    if args.json {
        let mut out = json!({
            "class": card.classes[best],
            "probability": last[best],
            "classes": card.classes,
            "probabilities": last,
            "sampler": args.sampler,
            "steps": args.steps,
            "seed": args.seed,
        });
        if args.trajectory {
            out["trajectory"] = json!(rows);
        }
        println!("{out}");
        return Ok(());
    }
    println!("{} ({:.2} %)", card.classes[best], 100.0 * last[best]);
    let line = |row: &[f32]| {
        row.iter()
            .map(|p| format!("{:>7.2}", 100.0 * p))
            .collect::<Vec<_>>()
            .join("")
    };
    println!(
        "{:>6}{}",
        "class",
        card.classes
            .iter()
            .map(|c| format!("{c:>7}"))
            .collect::<String>()
    );
    if args.trajectory {
        for (k, row) in rows.iter().enumerate() {
            println!("{:>6}{}", format!("k={k}"), line(row));
        }
    } else {
        println!("{:>6}{}", "%", line(last));
    }
    Ok(())
}
