//! `noprop dump-values`: the numbers that a model computes from given inputs, for another program to compare.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use burn::tensor::{Device, Tensor, TensorData};
use clap::Args;
use noprop_core::noise::ancestral_noise;
use noprop_core::sampler::ANCESTRAL;
use noprop_core::weights::{HostTensor, Tensors};
use noprop_core::{Features, NoProp, Sampler, Walk, predicted_class};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::devices;
use crate::flags::{DeviceArgs, positive, sampler};
use crate::run_folder::{self, read_state_dict, write_new_file};

/// Arguments of `dump-values`.
#[derive(Debug, Args)]
pub struct DumpValuesArgs {
    /// Run folder or .safetensors file.
    #[arg(long, value_name = "RUN|FILE")]
    weights: PathBuf,
    /// File with the inputs: a .safetensors file with the tensors images, z and t.
    #[arg(long, value_name = "FILE")]
    inputs: PathBuf,
    /// File to write, .safetensors.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Walk from z with this sampler, too, and write all of its latents.
    #[arg(long, value_parser = sampler())]
    sampler: Option<Sampler>,
    /// Steps T of the walk.
    #[arg(long, value_name = "T", default_value_t = 10, value_parser = positive, requires = "sampler")]
    steps: usize,
    /// Seed of the noise of an ancestral walk, where the inputs hold none.
    #[arg(long, default_value_t = 0, requires = "sampler")]
    seed: u64,
    /// Device.
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: &DumpValuesArgs) -> Result<()> {
    let chosen = devices::choose(args.device.device)?;
    let classifier = run_folder::load_classifier(&args.weights, &chosen.device)?;
    let model = classifier.model();
    if let Some(blocks) = model.method().blocks() {
        bail!(
            "this model has {blocks} blocks, one for each step, and dump-values asks one network about any \
             time t; expected a model of NoProp-CT or NoProp-FM"
        );
    }
    let inputs = Inputs::read(&args.inputs, model)?;
    let count = inputs.count;
    let features = model.features(upload(&inputs.images, &chosen.device));
    let mut outputs = estimate(model, &features, &inputs)?;
    let mut prediction = None;
    if let Some(sampler) = args.sampler {
        let walk = Walk::new(sampler, args.steps).with_seed(args.seed);
        let noise = inputs.noise(&walk, model.config().latent_dim())?;
        let z_0 = upload(&inputs.z, &chosen.device);
        let latents = latents(model, &features, z_0, &walk, noise.as_ref())?;
        outputs.insert("z_trajectory".into(), latents.states);
        prediction = Some(latents.classes);
        outputs.extend(noise.map(|noise| ("noise".into(), noise)));
    }
    write_new_file(&args.out, &serialize(&outputs, prediction)?)?;
    println!("{} ({count} images, {})", args.out.display(), chosen.name);
    Ok(())
}

/// The values of the network at the latents and times of the inputs, each `[n, …]`.
fn estimate(model: &NoProp, features: &Features, inputs: &Inputs) -> Result<Tensors> {
    let device = model.device();
    let (z, t): (Tensor<2>, Tensor<2>) = (upload(&inputs.z, &device), upload(&inputs.t, &device));
    let estimate = model.estimate_at_step(features, z, 0, t.clone());
    let alpha_bar = model.schedule_at(t).map(|at| ("alpha_bar", at.alpha_bar));
    let values = [
        ("features", features.values.clone()),
        ("logits", estimate.logits),
        ("u_hat", estimate.u_hat),
    ];
    let values = values.into_iter().chain(alpha_bar);
    values
        .map(|(name, tensor)| Ok((name.to_owned(), download(tensor)?)))
        .collect()
}

/// The tensors in the file of inputs.
struct Inputs {
    count: usize,
    images: HostTensor,
    z: HostTensor,
    t: HostTensor,
    noise: Option<HostTensor>,
}

impl Inputs {
    /// Reads the file and checks that its tensors are for `model`.
    fn read(path: &Path, model: &NoProp) -> Result<Self> {
        let mut tensors = read_state_dict(path).context("the inputs")?.tensors;
        let mut take = |name: &str| {
            tensors.remove(name).with_context(|| {
                format!(
                    "{} has no tensor {name:?}; expected images, z and t",
                    path.display()
                )
            })
        };
        let (images, z, t) = (take("images")?, take("z")?, take("t")?);
        let noise = tensors.remove("noise");
        if let Some(name) = tensors.keys().next() {
            bail!("the tensor {name:?} in {} is not known", path.display());
        }
        let config = model.config();
        let ([c, h, w], d) = (config.input, config.latent_dim());
        let count = images.shape.first().copied().unwrap_or(0);
        expect("images", &images, &[count, c, h, w])?;
        expect("z", &z, &[count, d])?;
        expect("t", &t, &[count, 1])?;
        if let Some(t) = t.values.iter().find(|t| !(0.0..=1.0).contains(*t)) {
            bail!("t holds {t}; times lie between 0 and 1");
        }
        Ok(Self {
            count,
            images,
            z,
            t,
            noise,
        })
    }

    /// The noise of an ancestral walk, `[T, n, d]`: from the file of inputs, or else drawn by our generator. `None` for
    /// the other samplers, which need no noise.
    fn noise(&self, walk: &Walk, dim: usize) -> Result<Option<HostTensor>> {
        let shape = vec![walk.steps, self.count, dim];
        if walk.sampler != ANCESTRAL {
            return Ok(None);
        }
        if let Some(noise) = &self.noise {
            expect("noise", noise, &shape)?;
            return Ok(Some(noise.clone()));
        }
        let values = ancestral_noise(walk.seed, 0, self.count, walk.steps, dim);
        Ok(Some(HostTensor { shape, values }))
    }
}

fn expect(name: &str, tensor: &HostTensor, shape: &[usize]) -> Result<()> {
    if tensor.shape != shape {
        bail!(
            "the tensor {name:?} has the shape {:?}, and the model takes {shape:?}",
            tensor.shape
        );
    }
    Ok(())
}

/// The walks of n images.
struct Latents {
    /// The latents z_0 … z_T, `[T + 1, n, d]`.
    states: HostTensor,
    /// The predicted class of each image, read off z_T.
    classes: Vec<usize>,
}

/// Walks from the latents `z_0` `[n, d]`.
fn latents(
    model: &NoProp,
    features: &Features,
    z_0: Tensor<2>,
    walk: &Walk,
    noise: Option<&HostTensor>,
) -> Result<Latents> {
    let [count, dim] = z_0.dims();
    let mut states = vec![z_0.clone()];
    let mut observe = |_: usize, z: &Tensor<2>| states.push(z.clone());
    let z_1 = match noise {
        Some(noise) => {
            let noise = upload(noise, &z_0.device());
            model.walk_with_noise(features, z_0, walk, noise, &mut observe)?
        }
        None => model.walk_from(features, z_0, walk, 0, &mut observe)?,
    };
    let scores = download(model.readout(features, z_1))?.values;
    let classes = scores.chunks_exact(model.config().classes);
    Ok(Latents {
        classes: classes.map(predicted_class).collect(),
        states: HostTensor {
            shape: vec![states.len(), count, dim],
            values: download(Tensor::cat(states, 0))?.values,
        },
    })
}

fn upload<const D: usize>(tensor: &HostTensor, device: &Device) -> Tensor<D> {
    let data = TensorData::new(tensor.values.clone(), tensor.shape.clone());
    Tensor::from_data(data, device)
}

fn download(tensor: Tensor<2>) -> Result<HostTensor> {
    let shape = tensor.dims().to_vec();
    let values = tensor.into_data().try_to_vec();
    let values = values.map_err(|e| anyhow!("the device gave no f32: {e:?}"))?;
    Ok(HostTensor { shape, values })
}

/// Serialises outputs as a safetensors file: `outputs` as f32, `prediction` as i64.
fn serialize(outputs: &Tensors, prediction: Option<Vec<usize>>) -> Result<Vec<u8>> {
    let mut entries: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = outputs
        .iter()
        .map(|(name, tensor)| {
            let bytes = tensor.to_le_bytes();
            (name.as_str(), Dtype::F32, tensor.shape.clone(), bytes)
        })
        .collect();
    if let Some(classes) = prediction {
        let shape = vec![classes.len()];
        let bytes = classes
            .iter()
            .flat_map(|&class| (class as i64).to_le_bytes());
        entries.push(("prediction", Dtype::I64, shape, bytes.collect()));
    }
    let views = entries.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes)?;
        Ok((*name, view))
    });
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(safetensors::serialize(views, None)?)
}
