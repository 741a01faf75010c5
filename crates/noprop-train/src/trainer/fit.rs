//! Whether a recipe and a dataset go together.

use noprop_data::Dataset;

use crate::config::Recipe;
use crate::error::TrainError;

pub(super) fn check(recipe: &Recipe, dataset: &Dataset) -> Result<(), TrainError> {
    let [c, h, w] = dataset.train.shape;
    let [channels, height, width] = recipe.model.input;
    if [h, w] != [height, width] || (c != channels && c != 1) {
        return Err(TrainError::Data(format!(
            "the model expects images of {channels}×{height}×{width}, {} has {c}×{h}×{w}; \
             set model.input in the recipe",
            dataset.name
        )));
    }
    if dataset.classes.len() != recipe.model.classes {
        return Err(TrainError::Data(format!(
            "the model has {} classes, {} has {}; set model.classes in the recipe",
            recipe.model.classes,
            dataset.name,
            dataset.classes.len()
        )));
    }
    Ok(())
}
