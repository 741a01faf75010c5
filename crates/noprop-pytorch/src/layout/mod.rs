//! The models whose parameter names are known. To add a model, write a file with a table of names and, if the shapes
//! tell the configuration, a function that reads it off them; then add a variant of [`Layout`].

mod mnist;
mod reference;
mod simple;

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;

use burn::tensor::Device;
use noprop_core::weights::{self, ModelCard, Precision, Tensors};
use noprop_core::{Method, ModelConfig, NoProp, Normalization};

use crate::error::{PytorchError, shown};
use crate::state_dict::{CARD_KEY, StateDict};
use reference::Names;

/// The model whose parameter names a state dict has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Our models, as in `model.safetensors` and the PyTorch port in `benchmarks/peer`.
    Ours,
    /// The model of yhgon/NoProp's `nopropct_mnist.py`.
    ReferenceMnist,
    /// The model of yhgon/NoProp's `noprop_simple.py`.
    ReferenceSimple,
    /// A ResNet of torchvision, which is a backbone alone.
    Torchvision,
}

/// A model that was made from a state dict.
#[derive(Debug)]
pub struct Imported {
    /// The model, on the CPU.
    pub model: NoProp,
    /// The model whose names the parameters had.
    pub layout: Layout,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 4] = [
        Self::Ours,
        Self::ReferenceMnist,
        Self::ReferenceSimple,
        Self::Torchvision,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::ReferenceMnist => "reference-mnist",
            Self::ReferenceSimple => "reference-simple",
            Self::Torchvision => "torchvision",
        }
    }

    /// The name of a parameter that no other known model has.
    fn mark(self) -> &'static str {
        match self {
            Self::Ours => "denoiser.head.fc1.weight",
            Self::ReferenceMnist => "z_enc.net.0.weight",
            Self::ReferenceSimple => "label_enc.fc1.weight",
            Self::Torchvision => "layer1.0.conv1.weight",
        }
    }

    /// Finds the model whose parameter names `tensors` have.
    ///
    /// # Errors
    /// When no known model has such names.
    pub fn detect(tensors: &Tensors) -> Result<Self, PytorchError> {
        let is_there = |layout: &Self| tensors.contains_key(layout.mark());
        Self::ALL.into_iter().find(is_there).ok_or_else(|| {
            let first: Vec<String> = tensors.keys().take(3).map(|name| shown(name)).collect();
            PytorchError::Content(format!(
                "the tensors {}, … are of no model that is known: neither ours, nor \
                 yhgon/NoProp's two, nor a ResNet of torchvision",
                first.join(", ")
            ))
        })
    }

    /// The table that pairs our parameter names with those of this model; empty for [`Self::Ours`].
    fn names(self) -> Names {
        match self {
            Self::Ours => Names(&[]),
            Self::ReferenceMnist => mnist::NAMES,
            Self::ReferenceSimple => simple::NAMES,
            Self::Torchvision => Names(&[("backbone.", "")]),
        }
    }

    /// Gives `tensors` our names and our shapes.
    pub(crate) fn to_ours(self, tensors: Tensors) -> Tensors {
        let names = self.names();
        let renamed = tensors.into_iter().map(|(name, mut tensor)| {
            let name = names.ours(&name).unwrap_or(name);
            // In the models of yhgon/NoProp, γ₀ and γ₁ have no dimensions.
            if tensor.shape.is_empty() {
                tensor.shape = vec![1];
            }
            (name, tensor)
        });
        let mut tensors: Tensors = renamed.collect();
        if self == Self::ReferenceMnist {
            mnist::add_embedding(&mut tensors);
        }
        tensors
    }

    /// Reads the method and the architecture off the names and shapes of `tensors`, which have our names. `size` is the
    /// height and width of the images.
    fn config(
        self,
        tensors: &Tensors,
        size: [usize; 2],
    ) -> Result<(Method, ModelConfig), PytorchError> {
        match self {
            Self::ReferenceMnist => mnist::config(tensors, size),
            Self::ReferenceSimple => simple::config(tensors, size),
            Self::Ours => Err(PytorchError::Incomplete(
                "the shapes of our tensors do not tell the noise schedule and the objective".into(),
            )),
            Self::Torchvision => Err(PytorchError::BackboneOnly),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |layout: &Self| layout.name() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no kind of model is called {text:?}, expected one of {names}")
        })
    }
}

/// Makes a model of the tensors in `state`, on the CPU. Without `layout`, the parameter names tell it. Without
/// `config`, the shapes tell the configuration, except the height and width of the images in pixels, which `size`
/// gives.
///
/// # Errors
/// When the tensors belong to no known model, do not tell the configuration, or do not fit it.
pub fn import(
    state: StateDict,
    layout: Option<Layout>,
    config: Option<(Method, ModelConfig)>,
    size: [usize; 2],
) -> Result<Imported, PytorchError> {
    let layout = match layout {
        Some(layout) => layout,
        None => Layout::detect(&state.tensors)?,
    };
    let tensors = layout.to_ours(state.tensors);
    let (method, model) = match config {
        Some(config) if layout != Layout::Torchvision => config,
        _ => layout.config(&tensors, size)?,
    };
    model.validate()?;
    method.validate(&model)?;
    let card = nameless(&method, &model);
    let numbers: usize = tensors.values().map(|tensor| tensor.values.len()).sum();
    weights::check_card(&card, 4 * numbers)?;
    let device = Device::flex();
    let expected = weights::parameters(&NoProp::new(&method, &model, 0, &device)?)?;
    fit(&tensors, &expected, "the model")?;
    Ok(Imported {
        model: weights::from_tensors(&tensors, &card, &device)?,
        layout,
    })
}

/// Checks that `tensors` have the names and shapes of `expected`, the parameters of the model called `whose`.
///
/// # Errors
/// When a tensor does not fit; the error names the first one in alphabetical order.
pub(crate) fn fit(tensors: &Tensors, expected: &Tensors, whose: &str) -> Result<(), PytorchError> {
    let names: BTreeSet<&String> = tensors.keys().chain(expected.keys()).collect();
    for name in names {
        let shown = shown(name);
        let message = match (tensors.get(name), expected.get(name)) {
            (Some(found), Some(wanted)) if found.shape == wanted.shape => continue,
            (Some(found), Some(wanted)) => format!(
                "{shown} has the shape {:?} in the file and {:?} in {whose}",
                found.shape, wanted.shape
            ),
            (Some(_), None) => format!("{shown} is in the file and not in {whose}"),
            (None, _) => format!("{shown} is in {whose} and not in the file"),
        };
        return Err(PytorchError::Mismatch(format!(
            "the weights do not fit: {message}; is it another depth, width or kind of network?"
        )));
    }
    Ok(())
}

/// A card for a model of which only the method and the architecture are known.
fn nameless(method: &Method, model: &ModelConfig) -> ModelCard {
    ModelCard {
        method: method.clone(),
        model: model.clone(),
        normalization: Normalization {
            mean: vec![0.0],
            std: vec![1.0],
        },
        classes: (0..model.classes).map(|class| class.to_string()).collect(),
        dataset: String::new(),
        blocks: None,
        inference: None,
    }
}

/// Serialises `model` as a safetensors file for PyTorch. The returned layout says which parameter names the file has:
/// those of a model of yhgon/NoProp if the configuration is exactly one of theirs, else ours, which `benchmarks/peer`
/// loads.
///
/// # Errors
/// When the tensors cannot be serialised.
pub fn export(model: &NoProp, card: &ModelCard) -> Result<(Vec<u8>, Layout), PytorchError> {
    let tensors = weights::parameters(model)?;
    let [_, height, width] = card.model.input;
    let is_it = |layout: &Layout| {
        let config = layout.config(&tensors, [height, width]);
        config.is_ok_and(|(method, model)| method == card.method && model == card.model)
    };
    let theirs = [Layout::ReferenceMnist, Layout::ReferenceSimple];
    let Some(layout) = theirs.into_iter().find(is_it) else {
        return Ok((
            weights::to_bytes(model, card, Precision::Full)?,
            Layout::Ours,
        ));
    };
    let names = layout.names();
    let renamed = tensors.into_iter().filter_map(|(name, mut tensor)| {
        let name = names.theirs(&name)?;
        if reference::is_scalar(&name) {
            tensor.shape = Vec::new();
        }
        Some((name, tensor))
    });
    let card = serde_json::to_string(card).map_err(|e| PytorchError::Content(e.to_string()))?;
    let bytes = weights::serialize(&renamed.collect(), &[(CARD_KEY, card)])?;
    Ok((bytes, layout))
}

#[cfg(test)]
mod tests;
