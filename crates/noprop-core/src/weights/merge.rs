//! Merges weights files of NoProp-DT whose blocks were trained apart into one model.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::ModelCard;
use crate::block_range::BlockRange;
use crate::error::WeightsError;
use crate::method::Parts;
use crate::model::NoProp;

/// A part of a model: its name for messages, the network and its card.
pub type Part = (String, NoProp, ModelCard);

/// The model that takes each block from the part that trained it, and its card.
///
/// The parts differ in their blocks only. Class embeddings and noise schedule are fixed by the configuration,
/// and every part took all steps of the output head ([`Batch::block`](crate::method::Batch::block) is `None`
/// in the steps of other blocks). Output heads and class embeddings must therefore be equal to the bit; those
/// of other seeds or recipes are not.
///
/// # Errors
/// When the parts are of different configurations, when their output heads differ, when two parts have
/// the same block, and when a block is missing.
pub fn merge(parts: Vec<Part>) -> Result<(NoProp, ModelCard), WeightsError> {
    let refuse = |message: String| Err(WeightsError::Merge(message));
    let Some((first_name, first, card)) = parts.first() else {
        return refuse("there is nothing to merge".into());
    };
    let mut part_blocks = Vec::with_capacity(parts.len());
    for (name, model, _) in &parts {
        let Parts::Dt(dt) = &model.parts else {
            return refuse(format!(
                "{name} is a model of method {}, whose parts are trained together; only NoProp-DT models can \
                 be merged",
                model.method().name()
            ));
        };
        part_blocks.push(&dt.blocks);
    }
    let count = part_blocks[0].len();
    let complete = ModelCard {
        blocks: None,
        ..card.clone()
    };
    let shared = OutsideBlocks::of(first);
    let mut owners: Vec<Option<usize>> = vec![None; count];
    for (index, (name, model, card)) in parts.iter().enumerate() {
        // The evaluation may differ: the merged card has that of the first part.
        let comparable = ModelCard {
            blocks: None,
            inference: complete.inference,
            ..card.clone()
        };
        if comparable != complete {
            return refuse(format!(
                "{first_name} and {name} have different configurations; only parts of one model can be merged"
            ));
        }
        if OutsideBlocks::of(model) != shared {
            return refuse(format!(
                "{first_name} and {name} have different output heads, so they were not trained from the same \
                 recipe, seed and number of threads; train them alike but for their blocks"
            ));
        }
        for block in card.blocks.unwrap_or(BlockRange::all(count)).indices() {
            if let Some(owner) = owners[block].replace(index) {
                return refuse(format!(
                    "block {} is in both {} and {name}; each block must be in one part only",
                    block + 1,
                    parts[owner].0
                ));
            }
        }
    }
    let mut blocks = Vec::with_capacity(count);
    for (block, owner) in owners.into_iter().enumerate() {
        let Some(owner) = owner else {
            return refuse(format!(
                "block {} of {count} is in no part; train it, too, and give its file",
                block + 1
            ));
        };
        blocks.push(part_blocks[owner][block].clone());
    }
    let mut merged = first.clone();
    if let Parts::Dt(parts) = &mut merged.parts {
        parts.blocks = blocks;
    }
    Ok((merged, complete))
}

/// The bits of all parameters outside of the blocks: output head and class embeddings.
#[derive(Default, PartialEq)]
struct OutsideBlocks(Vec<u32>);

impl OutsideBlocks {
    fn of(model: &NoProp) -> Self {
        let mut shared = Self::default();
        if let Some(head) = model.parts.output_head() {
            head.visit(&mut shared);
        }
        model.class_embedding.visit(&mut shared);
        shared
    }
}

impl ModuleVisitor for OutsideBlocks {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().into_data();
        self.0.extend(values.iter::<f32>().map(f32::to_bits));
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::backbone::{BackboneConfig, CnnConfig};
    use crate::config::ModelConfig;
    use crate::method::{Dt, DtParts, Method};
    use crate::normalization::Normalization;

    fn part(name: &str, blocks: &str) -> Part {
        let model = ModelConfig {
            input: [1, 4, 4],
            embed_dim: 4,
            backbone: BackboneConfig::Cnn(CnnConfig {
                width: 2,
                dropout: 0.0,
            }),
            ..Default::default()
        };
        let method = Method::Dt(Dt {
            steps: 4,
            ..Default::default()
        });
        let card = ModelCard {
            method: method.clone(),
            model: model.clone(),
            normalization: Normalization {
                mean: vec![0.0],
                std: vec![1.0],
            },
            classes: (0..10).map(|i| i.to_string()).collect(),
            dataset: "mnist".into(),
            blocks: Some(blocks.parse().unwrap()),
            inference: None,
        };
        let model = NoProp::new(&method, &model, 0, &Device::flex()).unwrap();
        (name.into(), model, card)
    }

    fn dt(model: &NoProp) -> &DtParts {
        match &model.parts {
            Parts::Dt(parts) => parts,
            other => panic!("not NoProp-DT: {other:?}"),
        }
    }

    fn refusal(parts: Vec<Part>) -> String {
        merge(parts).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn each_block_comes_from_its_owner() {
        let parts = vec![part("a", "2-4"), part("b", "1")];
        let ids = |model: &NoProp, block: usize| {
            let mut shared = OutsideBlocks::default();
            dt(model).blocks[block].visit(&mut shared);
            shared.0
        };
        let owners = [1, 0, 0, 0].map(|owner| parts[owner].1.clone());
        let (merged, card) = merge(parts).unwrap();
        assert_eq!(card.blocks, None);
        for (block, owner) in owners.iter().enumerate() {
            assert!(ids(&merged, block) == ids(owner, block));
        }
    }

    #[test]
    fn parts_that_make_no_model_are_refused() {
        let overlap = refusal(vec![part("a", "1-3"), part("b", "3-4")]);
        assert!(overlap.contains("block 3 is in both a and b"), "{overlap}");
        let missing = refusal(vec![part("a", "1-2"), part("b", "4")]);
        assert!(missing.contains("block 3 of 4 is in no part"), "{missing}");

        let mut other = part("b", "3-4");
        other.2.model.time_dim = 32;
        let message = refusal(vec![part("a", "1-2"), other]);
        assert!(message.contains("different configurations"), "{message}");

        let mut other = part("b", "3-4");
        if let Parts::Dt(parts) = &mut other.1.parts {
            let head = &mut parts.output_head;
            head.weight = head.weight.clone().map(|weight| weight + 1.0);
        }
        let message = refusal(vec![part("a", "1-2"), other]);
        assert!(message.contains("different output heads"), "{message}");

        let mut ct = part("a", "1");
        ct.2.method = Method::default();
        ct.1 = NoProp::new(&ct.2.method, &ct.2.model, 0, &Device::flex()).unwrap();
        assert!(refusal(vec![ct]).contains("only NoProp-DT"));
    }
}
