"""One step of training our model."""

import torch
from torch import Tensor, nn

from .model import NoProp
from .objective import Draws, Loss, draw, loss


def adamw(
    model: NoProp, lr: float, weight_decay: float, decay_all: bool = False
) -> torch.optim.AdamW:
    """AdamW as in our recipes: no decay of biases, BatchNorm, schedule and class embeddings."""
    if decay_all:
        return torch.optim.AdamW(trained(model), lr=lr, weight_decay=weight_decay)
    plain = {id(p) for module in (model.schedule, model.class_embedding) for p in module.parameters()}
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            plain.update(id(p) for p in module.parameters())
        if getattr(module, "bias", None) is not None:
            plain.add(id(module.bias))
    parameters = trained(model)
    groups = [
        {"params": [p for p in parameters if id(p) not in plain], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) in plain], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr)


def trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def train_step(
    model: NoProp,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    objective: dict,
    draws: Draws | None = None,
) -> Loss:
    """One optimiser step on normalised images [b, c, h, w] and labels [b]; nothing is read back.

    `model` must be in train mode. `objective` is the table of a recipe.
    """
    draws = draw(len(images), model.latent_dim) if draws is None else draws
    terms = loss(model, images, labels, draws, objective)
    optimizer.zero_grad()
    terms.total.backward()
    optimizer.step()
    return terms
