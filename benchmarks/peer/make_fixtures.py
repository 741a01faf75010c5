"""Makes the files in tests/fixtures/parity: small models, what they are given and what PyTorch
computes from it. `tests/tests/parity` and `tests/tests/interchange.rs` compare.

    python make_fixtures.py

The files are committed; run this again only when a model changes. The same PyTorch build gives the
same files on the same kind of processor.
"""

import argparse
import copy
import functools
import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import steadiness
from noprop_torch import objective, reference, sampler, training, weights
from noprop_torch.backbone import ResNet
from noprop_torch.model import NoProp
from noprop_torch.objective import Draws, draw_for

FOLDER = Path(__file__).parents[2] / "tests/fixtures/parity"
COUNT, BATCH = 3, 6
SAMPLERS = ("ddim", "euler", "heun", "ancestral", "reference-euler", "reference-heun")


SCHEDULE = {"kind": "learned", "gamma_0": -5.0, "gamma_1": 4.0, "hidden": 8}
# The squared error of the paper, with a bound on its weight.
PAPERS = {"kind": "ct", "max_snr": 1.0, "schedule": SCHEDULE}
# Everything that the recipes add to the paper.
RECIPES = {
    "kind": "ct",
    "loss": "cross-entropy",
    "weight": "flat",
    "label_smoothing": 0.1,
    "skip": True,
    "draws": 4,
    "schedule": SCHEDULE,
}
CLASSIFIER = {"kind": "classifier", "label_smoothing": 0.1}


def config(**changes) -> dict:
    """A table `model` of a recipe."""
    table = {
        "classes": 10,
        "input": [1, 28, 28],
        "embed_dim": 16,
        "time_dim": 8,
        "time_scale": 1000.0,
        "backbone": {"kind": "resnet", "depth": 10, "stem": "strided", "width": 3},
        "class_embedding": {"kind": "learned", "dim": 12},
        "label_encoder": "linear",
        "head": {"hidden": [16, 12], "batch_norm": False},
    }
    return {**table, **changes}


BOTTLENECK = config(
    input=[3, 28, 28],
    backbone={"kind": "resnet", "depth": 50, "stem": "imagenet", "width": 2},
    class_embedding={"kind": "one-hot"},
)
CNN = config(backbone={"kind": "cnn", "width": 2, "dropout": 0.0})
# Method and architecture. `ours-bottleneck` is not trained: the files are to stay small.
OURS = {
    "ours": (PAPERS, config()),
    "ours-cnn": (RECIPES, CNN),
    "ours-bottleneck": (PAPERS, BOTTLENECK),
    "ours-classifier": (CLASSIFIER, CNN),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    names = {}
    for seed, (name, (method, table)) in enumerate(OURS.items()):
        torch.manual_seed(seed)
        model = unsettled(NoProp(method, table))
        weights.save(str(out / f"{name}.safetensors"), model, card(table))
        names[name] = shapes(model)
        expected = expected_of_ours(model, step=name != "ours-bottleneck")
        save(out / f"{name}.expected.safetensors", expected)

    small = {"backbone": "resnet10", "time_emb_dim": 8, "embed_dim": 16, "width": 2}
    torch.manual_seed(10)
    mnist = unsettled(reference.Mnist(mid_dim=12, **small))
    torch.save(mnist.state_dict(), out / "reference-mnist.pt")
    names["reference-mnist"] = shapes(mnist)
    save(out / "reference-mnist.expected.safetensors", expected_of_reference(mnist))

    torch.manual_seed(11)
    simple = unsettled(reference.Simple(**small))
    with torch.no_grad():
        simple.W_embed.normal_()
    save_file(contiguous(simple.state_dict()), out / "reference-simple.safetensors")
    names["reference-simple"] = shapes(simple)
    save(out / "reference-simple.expected.safetensors", expected_of_reference(simple))

    torch.manual_seed(12)
    backbone = unsettled(ResNet(18, "imagenet", 2, 3, 1000 // 50))
    torch.save(backbone.state_dict(), out / "torchvision.pt")
    checkpoint(out)
    (out / "names.json").write_text(json.dumps(names, indent=0, sort_keys=True) + "\n")
    print(f"{sum(file.stat().st_size for file in out.iterdir()) / 1e6:.2f} MB in {out}")


@torch.no_grad()
def unsettled(model: nn.Module) -> nn.Module:
    """The model in eval mode, with BatchNorm statistics as after some training."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.weight.add_(0.2 * torch.randn_like(module.weight))
            module.bias.add_(0.2 * torch.randn_like(module.bias))
            module.running_mean.add_(0.2 * torch.randn_like(module.bias))
            module.running_var.copy_(0.5 + torch.rand_like(module.bias))
    return model.eval()


def card(table: dict) -> dict:
    """A card but for method and model."""
    return {
        "normalization": {"mean": [0.1307], "std": [0.3081]},
        "classes": [str(i) for i in range(table["classes"])],
        "dataset": "mnist",
    }


def inputs(shape: list[int], dim: int, steps: int) -> dict[str, Tensor]:
    return {
        "images": torch.randn(COUNT, *shape),
        "z": torch.randn(COUNT, dim),
        "t": torch.tensor([[0.0], [0.4], [1.0]]),
        "noise": torch.randn(steps, COUNT, dim),
    }


def expected_of_ours(model: NoProp, step: bool) -> dict[str, Tensor]:
    is_diffusion = model.schedule is not None
    kinds, steps = (SAMPLERS, 7) if is_diffusion else (("direct",), 1)
    given = inputs(model.config["input"], model.latent_dim, steps)
    out = dict(given)
    with torch.no_grad():
        features = model.features(given["images"])
        estimate = model.denoise(features, given["z"], given["t"])
        out |= {"features": features, "logits": estimate.logits, "u_hat": estimate.u_hat}
        if is_diffusion:
            out["alpha_bar"] = model.schedule(given["t"]).alpha_bar
        for kind in kinds:
            walk = sampler.trajectory(model, features, given["z"], kind, steps, given["noise"])
            out[f"trajectory.{kind}"] = walk
            out[f"prediction.{kind}"] = model.readout(features, walk[-1]).argmax(dim=1)
    return out | step_of_ours(model) if step else out


def step_of_ours(model: NoProp, batch: int = BATCH) -> dict[str, Tensor]:
    optimizer = training.adamw(model, lr=1e-3, weight_decay=1e-2)

    def sample() -> Batch:
        return new_batch(batch, model.config, draw_for(model, batch))

    return one_step(model, optimizer, objective.loss, sample)


def expected_of_reference(model: nn.Module) -> dict[str, Tensor]:
    # With fewer steps the reference's ODE explodes, and no tolerance would mean anything.
    steps = 40
    given = inputs([3, 28, 28], model.latent_dim, steps)
    del given["noise"]
    out = dict(given)
    with torch.no_grad():
        features = model.backbone(given["images"])
        logits = model.denoise(features, given["z"], given["t"])
        out |= {"features": features, "logits": logits, "u_hat": model.u_hat(logits)}
        out["alpha_bar"] = model.alpha_bar(given["t"])
    for kind in ("reference-euler", "reference-heun"):
        heun = kind == "reference-heun"
        walk = reference.sample(model, given["images"], steps, heun, once=True, z_0=given["z"])
        out[f"trajectory.{kind}"] = walk.trajectory
        out[f"prediction.{kind}"] = walk.scores.argmax(dim=1)
    return out | step_of_reference(model)


def step_of_reference(model: nn.Module, batch: int = BATCH) -> dict[str, Tensor]:
    config = {"input": [3, 28, 28], "classes": model.fuse.net[6].out_features}

    def sample() -> Batch:
        return new_batch(batch, config, objective.draw(batch, model.latent_dim))

    loss = functools.partial(reference.loss, once=True)
    return one_step(model, reference.adamw(model), loss, sample)


class Batch(NamedTuple):
    images: Tensor
    labels: Tensor
    draws: Draws


def new_batch(count: int, config: dict, draws: Draws) -> Batch:
    labels = torch.arange(count) % config["classes"]
    return Batch(torch.randn(count, *config["input"]), labels, draws)


def one_step(model: nn.Module, optimizer, loss, sample: Callable[[], Batch]) -> dict[str, Tensor]:
    """A batch, the loss terms, the gradients, and the weights after one step of the optimiser."""
    batch = steady(model, loss, sample)
    calls = {}
    hooks = [
        module.register_forward_hook(
            lambda m, given, _, name=name: calls.setdefault(name, []).append(given[0])
        )
        for name, module in model.named_modules()
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))
    ]
    terms = loss(model.train(), *batch)
    terms.total.backward()
    optimizer.step()
    model.eval()
    for hook in hooks:
        hook.remove()
    out = {"images": batch.images, "labels": batch.labels}
    out |= batch.draws._asdict() | terms._asdict()
    out |= {f"after.{name}": value for name, value in tensors(model).items()}
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    out |= {f"gradient.{name}": value for name, value in gradients.items()}
    # PyTorch's running variance is that of a sample, Burn's that of the batch: (n - 1)/n of it.
    # Also the share of the old variance after a step: the reference's head sees two batches.
    for name, given in calls.items():
        channels = given[0].shape[1]
        n = given[0].numel() // channels
        out[f"share.{name}.running_var"] = torch.full((channels,), (n - 1) / n)
        out[f"kept.{name}.running_var"] = torch.full((channels,), 0.9 ** len(given))
    return {f"step.{name}": value for name, value in out.items()}


def steady(model: nn.Module, loss, sample: Callable[[], Batch]) -> Batch:
    """A batch on which no ReLU and no max-pooling is next to its kink."""
    for _ in range(200):
        batch = sample()
        # The statistics of BatchNorm are to stay.
        with steadiness.Steadiness() as seen:
            loss(copy.deepcopy(model).train(), *batch)
        if seen.distance >= steadiness.FAR:
            return batch
    raise RuntimeError("every batch is next to a kink of some ReLU; take smaller ones")


def checkpoint(out: Path) -> None:
    """A checkpoint with every kind of value that checkpoints hold, and its tensors as f32."""
    torch.manual_seed(13)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    shared = torch.randn(4, 6)
    state = OrderedDict(model.state_dict())
    state |= {
        "half": torch.randn(5).half(),
        "bfloat": torch.randn(5).bfloat16(),
        "double": torch.randn(5, dtype=torch.float64),
        "long": torch.arange(5) - 2,
        "scalar": torch.tensor(2.5),
        "transposed": shared.T,
        "part": shared[1:3, ::2],
        "parameter": nn.Parameter(torch.randn(2)),
    }
    torch.save(
        {
            "epoch": 3,
            "loss": 0.5,
            "name": "a checkpoint",
            "nothing": None,
            "big": 2**40,
            "history": [0.25, (1, True)],
            "rng": torch.get_rng_state()[:8].clone(),
            "model_state_dict": state,
            "optimizer_state_dict": optimizer.state_dict(),
        },
        out / "checkpoint.pt",
    )
    save(out / "checkpoint.expected.safetensors", {k: v.detach().float() for k, v in state.items()})


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and running statistics; PyTorch counts the batches, too, and Burn does not."""
    state = model.state_dict().items()
    return {name: t for name, t in state if not name.endswith("num_batches_tracked")}


def shapes(model: nn.Module) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in tensors(model).items()}


def contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}


def save(path: Path, state: dict[str, Tensor]) -> None:
    save_file(contiguous(state), str(path))


if __name__ == "__main__":
    main()
