//! For tests: a network with the exact denoiser of one distribution p(y|x), and the same denoiser in f64.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::backbone::{BackboneConfig, CnnConfig};
use crate::config::{HeadConfig, ModelConfig};
use crate::embedding::{ClassEmbeddingConfig, EmbeddingInit};
use crate::method::{Ct, Method, Parts};
use crate::model::NoProp;

/// The probabilities p(y|x), the same for every image.
pub(crate) const P: [f64; 4] = [0.4, 0.3, 0.2, 0.1];

/// Learned class embeddings in four dimensions, whose norms differ.
pub(crate) const UNEQUAL: ClassEmbeddingConfig = ClassEmbeddingConfig::Learned {
    dim: Some(4),
    init: EmbeddingInit::Random,
};

/// The width of the features, which the network ignores.
pub(crate) const EMBED_DIM: usize = 4;

/// Sets every parameter of a denoiser to zero but the bias of the last layer, which becomes log p(y|x).
struct LogProbabilities(Vec<String>);

impl ModuleMapper for LogProbabilities {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.0.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.0.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let is_last_bias = self.0.ends_with(&["fc3".to_owned(), "bias".to_owned()]);
        param.map(|tensor| match is_last_bias {
            true => {
                let log_p: Vec<f32> = P.iter().map(|p| p.ln() as f32).collect();
                Tensor::from_data(TensorData::new(log_p, tensor.shape()), &tensor.device())
            }
            false => tensor.zeros_like(),
        })
    }
}

/// A NoProp-CT network whose own output is log p(y|x). With the skip connection, which is a setting of `ct`, its
/// estimate is the exact posterior mean E[u_y | z_t, x].
pub(crate) fn exact_mixture(class_embedding: ClassEmbeddingConfig, ct: Ct) -> NoProp {
    let config = ModelConfig {
        classes: P.len(),
        input: [1, 4, 4],
        embed_dim: EMBED_DIM,
        time_dim: 4,
        class_embedding,
        backbone: BackboneConfig::Cnn(CnnConfig {
            width: 1,
            dropout: 0.0,
        }),
        head: HeadConfig {
            hidden: [4, 4],
            batch_norm: false,
        },
        ..Default::default()
    };
    let method = Method::Ct(ct);
    let mut model = NoProp::new(&method, &config, 3, &Device::flex()).unwrap();
    if let Parts::Ct(parts) = &mut model.parts {
        let denoiser = parts.network.denoiser.clone();
        parts.network.denoiser = denoiser.map(&mut LogProbabilities(Vec::new()));
    }
    model
}

/// The class embeddings of `model` in f64.
pub(crate) fn embeddings(model: &NoProp) -> Vec<Vec<f64>> {
    let weight = model.class_embedding.weight.val();
    let width = weight.dims()[1];
    let values: Vec<f64> = weight.into_data().iter::<f64>().collect();
    values.chunks(width).map(<[f64]>::to_vec).collect()
}

/// The posterior mean E[u_y | z, x] in f64 where log SNR = `log_snr`. The likelihood is written as the Gaussian
/// density of z around √ᾱ u_y, not in the form that the network uses.
pub(crate) fn posterior_mean(z: &[f64], log_snr: f64, w: &[Vec<f64>]) -> Vec<f64> {
    let alpha_bar = 1.0 / (1.0 + (-log_snr).exp());
    let log_weight = |(u, p): (&Vec<f64>, f64)| {
        let distances = z.iter().zip(u);
        let distance: f64 = distances
            .map(|(z, u)| (z - alpha_bar.sqrt() * u).powi(2))
            .sum();
        p.ln() - 0.5 * distance / (1.0 - alpha_bar)
    };
    let logs: Vec<f64> = w.iter().zip(P).map(log_weight).collect();
    let most = logs.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = logs.iter().map(|log| (log - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let coordinate = |j: usize| weights.iter().zip(w).map(|(p, u)| p / sum * u[j]).sum();
    (0..z.len()).map(coordinate).collect()
}
