"""One step of training our model."""

import math

import torch
from torch import Tensor, nn

from .model import NoProp
from .objective import Draws, Loss, draw_for, loss


def adamw(
    model: NoProp, lr: float, weight_decay: float, decay_all: bool = False
) -> torch.optim.AdamW:
    """AdamW as in our recipes: no decay of biases, BatchNorm, schedule and class embeddings."""
    if decay_all:
        return torch.optim.AdamW(trained(model), lr=lr, weight_decay=weight_decay)
    whole = [model.class_embedding] + ([] if model.schedule is None else [model.schedule])
    plain = {id(p) for module in whole for p in module.parameters()}
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
    draws: Draws | None = None,
    clip_norm: float = math.inf,
) -> Loss:
    """One optimiser step on normalised images [b, c, h, w] and labels [b]; nothing is read back.

    `model` must be in train mode. The norm of the whole gradient is at most `clip_norm`.
    """
    draws = draw_for(model, len(images)) if draws is None else draws
    terms = loss(model, images, labels, draws)
    optimizer.zero_grad()
    terms.total.backward()
    if clip_norm < math.inf:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return terms
