//! Method "backprop", a baseline of the paper (§4): the blocks of NoProp-DT in a row, with one cross-entropy
//! at the end that is back-propagated through all of them:
//!
//! z_0 ~ N(0, I), z_t = (1 − α_t) z_{t−1} + α_t û_{θ_t}(z_{t−1}, x), L = −log p̂_out(y|z_T).

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Loss, cross_entropy};
use super::default_steps;
use super::dt::BlockReadout;
use super::initialisation::{Initialisation, check_blocks, new_blocks};
use crate::block::Block;
use crate::config::ModelConfig;
use crate::embedding::ClassEmbedding;
use crate::error::ConfigError;
use crate::network::inner_product_head;
use crate::schedule::Gates;

/// The settings of method "backprop".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backprop {
    /// The number of steps T, which is the number of blocks.
    #[serde(default = "default_steps")]
    pub steps: usize,
    /// The readout of the class from z_T.
    #[serde(default, skip_serializing_if = "BlockReadout::is_default")]
    pub readout: BlockReadout,
}

impl Default for Backprop {
    fn default() -> Self {
        Self {
            steps: default_steps(),
            readout: BlockReadout::default(),
        }
    }
}

impl Backprop {
    pub(super) fn validate(&self, model: &ModelConfig) -> Result<(), ConfigError> {
        check_blocks(self.steps, model)
    }
}

/// The parts of a network of method "backprop".
#[derive(Module, Debug)]
pub struct BackpropParts {
    /// The blocks, one for each step, in the order of the walk.
    pub blocks: Vec<Block>,
    /// The gates α_1 … α_T.
    pub schedule: Gates,
    /// The output head: the linear layer of p̂_out on z_T.
    pub output_head: Linear,
    #[module(skip)]
    settings: Backprop,
}

impl BackpropParts {
    pub(super) fn new(settings: &Backprop, start: Initialisation<'_>) -> Self {
        let classes = start.config.classes;
        Self {
            blocks: new_blocks(settings.steps, start),
            schedule: Gates::new(settings.steps, start.device),
            output_head: inner_product_head(start.embeddings, classes, 1.0, start.device),
            settings: settings.clone(),
        }
    }

    /// The class logits `[b, m]` that the readout gives for latents `z` `[b, d]` after the last block.
    pub(super) fn readout(&self, class_embedding: &ClassEmbedding, z: Tensor<2>) -> Tensor<2> {
        let readout = self.settings.readout;
        readout.logits(&self.output_head, class_embedding, z)
    }

    /// The loss of `batch`: the cross-entropy of the readout after the last block.
    pub(super) fn loss(&self, class_embedding: &ClassEmbedding, batch: Batch) -> Loss {
        let Batch {
            images,
            labels,
            draws,
            mut dropout,
            ..
        } = batch;
        let mut z = draws.noise;
        for (k, block) in self.blocks.iter().enumerate() {
            let logits = block.train_logits(images.clone(), z.clone(), &mut dropout);
            let u_hat = class_embedding.expectation(logits);
            z = self.schedule.blend(k, z, u_hat);
        }
        Loss::cross_entropy_alone(cross_entropy(self.readout(class_embedding, z), labels))
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::GradientsParams;
    use burn::tensor::Device;

    use super::super::tests::{batch, config, scalar};
    use super::super::{Method, Parts};
    use super::*;
    use crate::config::HeadConfig;
    use crate::model::NoProp;

    fn gated() -> ModelConfig {
        ModelConfig {
            head: HeadConfig {
                batch_norm: true,
                ..config().head
            },
            ..config()
        }
    }

    fn model(device: &Device) -> NoProp {
        let method = Method::Backprop(Backprop {
            steps: 4,
            ..Default::default()
        });
        NoProp::new(&method, &gated(), 2, device).unwrap()
    }

    /// Without BatchNorm's batch statistics the loss is that of the walk that inference makes.
    #[test]
    fn the_loss_is_that_of_the_walk() {
        let device = Device::flex();
        let model = model(&device);
        let batch = batch(&gated(), &device);
        let features = model.features(batch.images.clone());
        let z_0 = batch.draws.noise.clone();
        let walk = model.method().default_walk();
        let z = model
            .walk_from(&features, z_0, &walk, 0, &mut |_, _| {})
            .unwrap();
        let expected = cross_entropy(model.readout(&features, z), batch.labels.clone());
        let loss = model.loss(batch);
        // Four steps of f32 products in another order.
        assert!((scalar(&loss.total) - scalar(&expected)).abs() < 1e-5);
    }

    #[test]
    fn the_gradient_reaches_every_block_and_gate() {
        let device = Device::flex().autodiff();
        let model = model(&device);
        let loss = model.loss(batch(&gated(), &device));
        let gradients = GradientsParams::from_grads(loss.total.backward(), &model);
        let Parts::Backprop(parts) = &model.parts else {
            panic!("the method is back-propagation")
        };
        let w = gradients.get::<1>(parts.schedule.w.id).unwrap();
        let w = w.into_data().try_to_vec::<f32>().unwrap();
        assert!(w.len() == 4 && w.iter().all(|g| *g != 0.0), "{w:?}");
        struct Reached<'a>(&'a GradientsParams, bool);
        impl burn::module::ModuleVisitor for Reached<'_> {
            fn visit_float<const D: usize>(&mut self, p: &burn::module::Param<Tensor<D>>) {
                if let Some(gradient) = self.0.get::<D>(p.id) {
                    self.1 |= gradient.abs().max().into_scalar::<f32>() > 0.0;
                }
            }
        }
        for block in &parts.blocks {
            let mut reached = Reached(&gradients, false);
            burn::module::Module::visit(block, &mut reached);
            assert!(reached.1);
        }
    }
}
