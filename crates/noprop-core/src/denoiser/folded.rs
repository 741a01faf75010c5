//! The denoiser as bare matrices, for solvers that run it outside Burn.
//!
//! Successive linear maps are multiplied out, and BatchNorm with its running statistics is folded into them. One
//! evaluation is then
//!
//! ```text
//! label  = relu(z · label_weight + label_bias)
//! first  = relu(scale ⊙ fused + time_share(t) + label · label_share [+ z · latent_share])
//! second = relu(first · second_weight + second_bias)
//! logits = second · third_weight + third_bias
//! ```
//!
//! with `fused` from [`Denoiser::fuse_features`] and `time_share` from [`Denoiser::time_share`].

use burn::nn::{BatchNorm, Linear};
use burn::tensor::Tensor;

use super::{Denoiser, LabelEncoder};

/// The matrices of one evaluation. In their shapes d is the dimension of z, e = `embed_dim`, h₁ and h₂ are
/// the widths of the hidden layers, and m is the number of classes.
#[derive(Debug, Clone)]
pub struct FoldedDenoiser {
    /// The weight of the first layer on z, `[d, e]`.
    pub label_weight: Tensor<2>,
    /// The bias of the first layer on z, `[1, e]`.
    pub label_bias: Tensor<2>,
    /// The weight from the encoding of z to the first hidden layer, `[e, h₁]`.
    pub label_share: Tensor<2>,
    /// The weight from z itself to the first hidden layer, `[d, h₁]`; only the residual label encoder has one.
    pub latent_share: Option<Tensor<2>>,
    /// The factor of BatchNorm on the features' share, `[1, h₁]`; only a head with BatchNorm has one.
    pub fused_scale: Option<Tensor<2>>,
    /// The weight of the second hidden layer, `[h₁, h₂]`.
    pub second_weight: Tensor<2>,
    /// The bias of the second hidden layer, `[1, h₂]`.
    pub second_bias: Tensor<2>,
    /// The weight of the logits, `[h₂, m]`.
    pub third_weight: Tensor<2>,
    /// The bias of the logits, `[1, m]`.
    pub third_bias: Tensor<2>,
}

impl Denoiser {
    /// The denoiser as matrices; `None` if it encodes z by convolutions (`label_encoder` "image"). The
    /// denoiser must be off the autodiff device.
    pub fn folded(&self) -> Option<FoldedDenoiser> {
        let width = self.time_encoder.linear.weight.dims()[1];
        let into_first = self.head.weight_rows(width, width);
        let (encoder, label_share, latent_share) = match &self.label_encoder {
            LabelEncoder::Linear(linear) => (linear, into_first, None),
            LabelEncoder::Residual((first, second)) => (
                first,
                second.weight.val().matmul(into_first.clone()),
                Some(into_first),
            ),
            LabelEncoder::Image(_) => return None,
        };
        let first_norm = self.head.bn1.as_ref().map(Affine::of);
        let scaled = |share: Tensor<2>| match &first_norm {
            Some(norm) => share * norm.scale.clone(),
            None => share,
        };
        let (second_weight, second_bias) = match self.head.bn2.as_ref().map(Affine::of) {
            Some(norm) => norm.after(&self.head.fc2),
            None => (self.head.fc2.weight.val(), bias(&self.head.fc2)),
        };
        Some(FoldedDenoiser {
            label_weight: encoder.weight.val(),
            label_bias: bias(encoder),
            label_share: scaled(label_share),
            latent_share: latent_share.map(scaled),
            fused_scale: first_norm.as_ref().map(|norm| norm.scale.clone()),
            second_weight,
            second_bias,
            third_weight: self.head.fc3.weight.val(),
            third_bias: bias(&self.head.fc3),
        })
    }

    /// The part `[n, h₁]` of the first hidden layer of [`Denoiser::folded`] that depends on the time only, at
    /// times `t` `[n, 1]`.
    pub fn time_share(&self, t: Tensor<2>) -> Tensor<2> {
        let width = self.time_encoder.linear.weight.dims()[1];
        let encoded = self.time_encoder.forward(t);
        let share = encoded.matmul(self.head.weight_rows(2 * width, width));
        let share = match &self.label_encoder {
            LabelEncoder::Linear(_) | LabelEncoder::Image(_) => share,
            LabelEncoder::Residual((_, second)) => {
                share + bias(second).matmul(self.head.weight_rows(width, width))
            }
        };
        match self.head.bn1.as_ref().map(Affine::of) {
            Some(norm) => share * norm.scale + norm.shift,
            None => share,
        }
    }
}

/// The bias of `linear`, `[1, out]`; zeros if the layer has none.
fn bias(linear: &Linear) -> Tensor<2> {
    match &linear.bias {
        Some(bias) => bias.val().unsqueeze(),
        None => Tensor::zeros([1, linear.weight.dims()[1]], &linear.weight.device()),
    }
}

/// BatchNorm with its running statistics, x ↦ scale ⊙ x + shift; `scale` and `shift` are `[1, n]`.
struct Affine {
    scale: Tensor<2>,
    shift: Tensor<2>,
}

impl Affine {
    fn of(norm: &BatchNorm) -> Self {
        let variance = norm.running_var.value_sync().add_scalar(norm.epsilon);
        let scale = norm.gamma.val() / variance.sqrt();
        let shift = norm.beta.val() - norm.running_mean.value_sync() * scale.clone();
        Self {
            scale: scale.unsqueeze(),
            shift: shift.unsqueeze(),
        }
    }

    /// The weight `[in, out]` and bias `[1, out]` of `linear` followed by this map.
    fn after(self, linear: &Linear) -> (Tensor<2>, Tensor<2>) {
        (
            linear.weight.val() * self.scale.clone(),
            bias(linear) * self.scale + self.shift,
        )
    }
}

#[cfg(test)]
mod tests {
    use burn::module::RunningState;
    use burn::tensor::Device;
    use burn::tensor::activation::relu;

    use super::*;
    use crate::config::{HeadConfig, LabelEncoderConfig, ModelConfig};
    use crate::embedding::ClassEmbeddingConfig;
    use crate::noise::initialised;
    use crate::noise::{NoiseSource, Purpose};

    const WIDTH: usize = 8;

    /// Statistics and parameters as after training, in place of zeros and ones.
    fn trained(
        norm: Option<BatchNorm>,
        width: usize,
        noise: &mut NoiseSource,
    ) -> Option<BatchNorm> {
        let mut random = || noise.normal_tensor([width], &Device::flex());
        norm.map(|norm| BatchNorm {
            gamma: norm.gamma.map(|_| random()),
            beta: norm.beta.map(|_| random()),
            running_mean: RunningState::new(random()),
            running_var: RunningState::new(random().abs() + 0.1),
            ..norm
        })
    }

    fn evaluate(denoiser: &Denoiser, fused: Tensor<2>, z: Tensor<2>, t: Tensor<2>) -> Tensor<2> {
        let folded = denoiser.folded().unwrap();
        let label = relu(z.clone().matmul(folded.label_weight) + folded.label_bias);
        let fused = match folded.fused_scale {
            Some(scale) => fused * scale,
            None => fused,
        };
        let mut first = fused + denoiser.time_share(t) + label.matmul(folded.label_share);
        if let Some(share) = folded.latent_share {
            first = first + z.matmul(share);
        }
        let second = relu(relu(first).matmul(folded.second_weight) + folded.second_bias);
        second.matmul(folded.third_weight) + folded.third_bias
    }

    #[test]
    fn folding_changes_nothing() {
        let device = Device::flex();
        let mut noise = NoiseSource::new(3, Purpose::Sampling, 0);
        for label_encoder in [LabelEncoderConfig::Linear, LabelEncoderConfig::Residual] {
            for batch_norm in [false, true] {
                let config = ModelConfig {
                    embed_dim: WIDTH,
                    label_encoder,
                    class_embedding: ClassEmbeddingConfig::Learned {
                        dim: None,
                        init: Default::default(),
                    },
                    head: HeadConfig {
                        hidden: [12, 6],
                        batch_norm,
                    },
                    ..Default::default()
                };
                let mut denoiser = initialised(&device, 3, || {
                    Denoiser::new(&config, config.classes, &device)
                });
                denoiser.head.bn1 = trained(denoiser.head.bn1, 12, &mut noise);
                denoiser.head.bn2 = trained(denoiser.head.bn2, 6, &mut noise);
                let fused = denoiser.fuse_features(noise.normal_tensor([5, WIDTH], &device));
                let z = noise.normal_tensor([5, WIDTH], &device);
                let t = Tensor::<2>::full([1, 1], 0.3, &device);
                let expected = denoiser.forward(fused.clone(), z.clone(), t.clone());
                let found = evaluate(&denoiser, fused, z, t);
                let difference = (expected - found).abs().max().into_scalar::<f32>();
                // Sums of at most 24 products in another order.
                assert!(
                    difference < 1e-5,
                    "{label_encoder:?}, batch norm {batch_norm}: {difference}"
                );
            }
        }
    }
}
