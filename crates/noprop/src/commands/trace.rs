//! `noprop trace`: what a model computes from given numbers, to compare with another program.

use std::path::Path;

use anyhow::{Context, Result, bail};
use burn::tensor::{Device, Tensor, TensorData};
use noprop_core::noise::ancestral_noise;
use noprop_core::sampler::Sampling;
use noprop_core::weights::{HostTensor, Tensors};
use noprop_core::{Features, NoProp, SamplerKind, predicted_class};
use noprop_pytorch::StateDict;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::adapters;
use crate::cli::TraceArgs;
use crate::run_folder::{self, write_new_file};

pub fn run(args: &TraceArgs) -> Result<()> {
    let chosen = adapters::choose(args.device.device)?;
    let (model, card, _) = run_folder::load_model(&args.weights, &chosen.device)?;
    if card.model.blocks().is_some() {
        bail!(
            "trace asks one denoiser about any time t, and NoProp-DT has a block for each step; trace CT or FM"
        );
    }
    let inputs = Inputs::read(&args.inputs, &model)?;
    let count = inputs.count;
    let device = &chosen.device;
    let features = model.features(upload(&inputs.images, device));
    let (z, t): (Tensor<2>, Tensor<2>) = (upload(&inputs.z, device), upload(&inputs.t, device));
    let estimate = model.denoise(&features, z.clone(), t.clone());
    let mut outputs = Tensors::new();
    let mut put = |name: &str, shape: Vec<usize>, values: Vec<f32>| {
        outputs.insert(name.to_owned(), HostTensor { shape, values });
    };
    for (name, tensor) in [
        ("features", features.values.clone()),
        ("logits", estimate.logits),
        ("u_hat", estimate.u_hat),
        ("alpha_bar", model.schedule.at(t).alpha_bar),
    ] {
        put(name, tensor.dims().to_vec(), numbers(tensor)?);
    }

    let mut prediction = None;
    if let Some(kind) = args.sampler {
        kind.check(&card.model)?;
        let sampling = Sampling {
            kind,
            steps: args.steps,
            seed: args.seed,
        };
        let noise = inputs.noise(sampling, card.model.latent_dim())?;
        let walk = walk(&model, &features, z, sampling, noise.as_ref())?;
        put("z_trajectory", walk.shape, walk.values);
        prediction = Some((walk.classes, vec![count]));
        if let Some(noise) = noise {
            put("noise", noise.shape, noise.values);
        }
    }
    let bytes = serialize(&outputs, prediction)?;
    write_new_file(&args.out, &bytes)?;
    println!("{} ({count} images, {})", args.out.display(), chosen.name);
    Ok(())
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
        let bytes = std::fs::read(path)
            .with_context(|| format!("the inputs {} cannot be read", path.display()))?;
        let mut tensors = StateDict::read(&bytes)
            .with_context(|| format!("the inputs {}", path.display()))?
            .tensors;
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

    /// The noise of an ancestral walk, `[T, n, d]`: that of the file, else our generator's.
    fn noise(&self, sampling: Sampling, dim: usize) -> Result<Option<HostTensor>> {
        let shape = vec![sampling.steps, self.count, dim];
        if sampling.kind != SamplerKind::Ancestral {
            return Ok(None);
        }
        if let Some(noise) = &self.noise {
            expect("noise", noise, &shape)?;
            return Ok(Some(noise.clone()));
        }
        let values = ancestral_noise(sampling.seed, 0, self.count, sampling.steps, dim);
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

/// z_0 … z_T, `[T + 1, n, d]`, and the classes read off z_T.
struct Walk {
    shape: Vec<usize>,
    values: Vec<f32>,
    classes: Vec<usize>,
}

/// Walks from `z_0`.
fn walk(
    model: &NoProp,
    features: &Features,
    z_0: Tensor<2>,
    sampling: Sampling,
    noise: Option<&HostTensor>,
) -> Result<Walk> {
    let [count, dim] = z_0.dims();
    let mut latents = vec![z_0.clone()];
    let mut observe = |_: usize, z: &Tensor<2>| latents.push(z.clone());
    let z_1 = match noise {
        Some(noise) => {
            let data = TensorData::new(noise.values.clone(), [sampling.steps, count, dim]);
            let noise = Tensor::from_data(data, &z_0.device());
            sampling.run_with_noise(model, features, z_0, noise, &mut observe)
        }
        None => sampling.run_from(model, features, z_0, 0, &mut observe),
    };
    let scores = numbers(model.readout(features, z_1))?;
    let classes = scores.chunks_exact(model.config().classes);
    Ok(Walk {
        shape: vec![latents.len(), count, dim],
        values: numbers(Tensor::cat(latents, 0))?,
        classes: classes.map(predicted_class).collect(),
    })
}

fn upload<const D: usize>(tensor: &HostTensor, device: &Device) -> Tensor<D> {
    let data = TensorData::new(tensor.values.clone(), tensor.shape.clone());
    Tensor::from_data(data, device)
}

fn numbers(tensor: Tensor<2>) -> Result<Vec<f32>> {
    let data = tensor.into_data();
    data.try_to_vec()
        .map_err(|e| anyhow::anyhow!("the device gave no f32: {e:?}"))
}

/// A safetensors file: the numbers as f32, the prediction as i64.
fn serialize(outputs: &Tensors, prediction: Option<(Vec<usize>, Vec<usize>)>) -> Result<Vec<u8>> {
    let mut entries: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = outputs
        .iter()
        .map(|(name, tensor)| {
            let bytes = tensor.to_le_bytes();
            (name.as_str(), Dtype::F32, tensor.shape.clone(), bytes)
        })
        .collect();
    if let Some((classes, shape)) = prediction {
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
