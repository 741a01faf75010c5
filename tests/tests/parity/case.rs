//! A model in a file of PyTorch's, what it is given, and what PyTorch computes from that.

use burn::tensor::{Device, Int, Tensor, TensorData};
use noprop_core::NoProp;
use noprop_core::dropout::Dropout;
use noprop_core::method::{Batch, Draws};
use noprop_core::weights::{self, HostTensor, Tensors};
use noprop_pytorch::{StateDict, import};
use noprop_tests::fixtures::state_dict;

/// A model, what it is given, and what PyTorch says.
pub struct Case {
    /// The weights as PyTorch named them.
    state: StateDict,
    pub model: NoProp,
    pub expected: Tensors,
}

impl Case {
    pub fn new(weights: &str, expected: &str) -> Self {
        Self::of(state_dict(weights), state_dict(expected))
    }

    pub fn of(state: StateDict, expected: StateDict) -> Self {
        Self {
            model: model(&state),
            state,
            expected: expected.tensors,
        }
    }

    pub fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let tensor = &self.expected[name];
        let data = TensorData::new(tensor.values.clone(), tensor.shape.clone());
        Tensor::from_data(data, &Device::flex())
    }

    /// Compares to the tolerance times the largest entry, or 1 if that is less.
    pub fn compare<const D: usize>(&self, name: &str, ours: Tensor<D>, tolerance: f32) {
        let theirs = &self.expected[name];
        assert_eq!(ours.dims().to_vec(), theirs.shape, "{name}");
        let ours: Vec<f32> = ours.into_data().try_to_vec().unwrap();
        let scale = largest(&theirs.values).max(1.0);
        let worst = difference(&ours, &theirs.values) / scale;
        println!("{name}: {worst:.1e} of {scale:.1}");
        assert!(worst <= tolerance, "{name} differs by {worst}");
    }
}

/// The model in a state dict: by its card where it has one, else by its shapes.
fn model(state: &StateDict) -> NoProp {
    let card = state.card.as_ref();
    let config = card.map(|card| (card.method.clone(), card.model.clone()));
    import(state.clone(), None, config, [28, 28]).unwrap().model
}

/// The largest absolute value.
pub fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, v| v.abs().max(most))
}

/// The largest absolute difference.
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    let pairs = a.iter().zip(b);
    // The first NaN stays, and no tolerance holds for it.
    let worse = |most: f32, d: f32| if most.is_nan() || d <= most { most } else { d };
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, worse)
}

impl Case {
    /// The batch of the step, on the autodiff device.
    pub fn batch(&self, device: &Device) -> Batch {
        let tracked = |name: &str| Tensor::from_inner(self.tensor::<2>(name));
        let labels = self.expected["step.labels"].values.iter();
        let labels: Vec<i64> = labels.map(|&label| label as i64).collect();
        Batch {
            images: Tensor::from_inner(self.tensor::<4>("step.images")),
            labels: Tensor::<1, Int>::from_data(labels.as_slice(), device),
            draws: Draws {
                t: tracked("step.t"),
                noise: tracked("step.noise"),
                noise_1: tracked("step.noise_1"),
            },
            dropout: Dropout::Off,
            block: None,
        }
    }

    /// The weights after the step, under our names; those that PyTorch does not have are as before.
    pub fn after(&self) -> Tensors {
        self.under("step.after.", &|tensor| tensor.clone())
    }

    /// The gradients, under our names; they are NaN where there is none.
    pub fn gradients(&self) -> Tensors {
        self.under("step.gradient.", &|tensor| HostTensor {
            shape: tensor.shape.clone(),
            values: vec![f32::NAN; tensor.values.len()],
        })
    }

    /// The tensors below `prefix`, under our names, and what `missing` makes of the weights for the others.
    pub fn under(&self, prefix: &str, missing: &dyn Fn(&HostTensor) -> HostTensor) -> Tensors {
        let mut state = self.state.clone();
        for (name, tensor) in &mut state.tensors {
            let found = self.expected.get(&format!("{prefix}{name}"));
            *tensor = found.cloned().unwrap_or_else(|| missing(tensor));
        }
        weights::parameters(&model(&state)).unwrap()
    }
}
