"""Our weights files: safetensors with the model's card in the metadata."""

import json

from safetensors import safe_open
from safetensors.torch import save_file

from .model import NoProp

FORMAT_VERSION = "1"


def load(path: str) -> tuple[NoProp, dict]:
    """The model in a file that `noprop` wrote, in eval mode, and its card: the tables `method` and
    `model`, `normalization` of the pixels, `classes` and `dataset`. Every tensor must fit."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if metadata.get("noprop.format_version") != FORMAT_VERSION:
            raise ValueError(f"{path} is no weights file of NoProp, version {FORMAT_VERSION}")
        card = json.loads(metadata["noprop.card"])
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    model = NoProp(card["method"], card["model"])
    model.load_state_dict(tensors, strict=True)
    return model.eval(), card


def save(path: str, model: NoProp, card: dict) -> None:
    """Writes a file that `noprop` reads. `card` has the form that `load` returns."""
    # PyTorch counts the batches; Burn does not.
    tensors = {
        name: tensor.detach().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    card = {**card, "method": model.method, "model": model.config}
    metadata = {"noprop.format_version": FORMAT_VERSION, "noprop.card": json.dumps(card)}
    save_file(tensors, path, metadata)
