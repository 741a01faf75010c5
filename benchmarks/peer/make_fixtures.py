"""Makes the files in tests/fixtures/parity: small models, their inputs and the outputs of PyTorch.
`tests/tests/parity.rs` and `tests/tests/interchange.rs` compare our outputs with them.

    python make_fixtures.py

The files are committed; run this again only when a model changes. The same PyTorch build gives the
same files on the same kind of processor.
"""

import argparse
import json
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from noprop_torch import reference, sampler, training, weights
from noprop_torch.backbone import ResNet
from noprop_torch.model import NoProp
from noprop_torch.objective import Draws

FOLDER = Path(__file__).parents[2] / "tests/fixtures/parity"
COUNT, BATCH = 3, 6
SAMPLERS = ("ddim", "euler", "heun", "ancestral", "reference-euler", "reference-heun")


def ours(**changes) -> dict:
    """A model configuration, the `model` table of a recipe."""
    config = {
        "classes": 10,
        "input": [1, 28, 28],
        "embed_dim": 16,
        "time_dim": 8,
        "time_scale": 1000.0,
        "backbone": {"kind": "resnet", "depth": 10, "stem": "strided", "width": 3},
        "class_embedding": {"kind": "learned", "dim": 12},
        "label_encoder": "linear",
        "head": {"hidden": [16, 12], "batch_norm": False},
        "schedule": {"kind": "learned", "gamma_0": -5.0, "gamma_1": 4.0, "hidden": 8},
        "readout": "linear",
    }
    return {**config, **changes}


BOTTLENECK = ours(
    input=[3, 28, 28],
    backbone={"kind": "resnet", "depth": 50, "stem": "imagenet", "width": 2},
    class_embedding={"kind": "one-hot"},
)
CNN = ours(backbone={"kind": "cnn", "width": 2, "dropout": 0.0})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    names = {}
    for seed, (name, config) in enumerate(
        {"ours": ours(), "ours-cnn": CNN, "ours-bottleneck": BOTTLENECK}.items()
    ):
        torch.manual_seed(seed)
        model = unsettled(NoProp(config))
        weights.save(str(out / f"{name}.safetensors"), model, card(config))
        names[name] = shapes(model)
        # Only one of the models is trained, so that the files stay small.
        save(out / f"{name}.expected.safetensors", expected_of_ours(model, step=name == "ours"))

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


def card(config: dict) -> dict:
    classes = [str(i) for i in range(config["classes"])]
    return {"mean": [0.1307], "std": [0.3081], "classes": classes, "dataset": "mnist"}


def draws(count: int, dim: int) -> Draws:
    return Draws(torch.rand(count, 1), torch.randn(count, dim), torch.randn(count, dim))


def inputs(shape: list[int], dim: int, steps: int) -> dict[str, Tensor]:
    return {
        "images": torch.randn(COUNT, *shape),
        "z": torch.randn(COUNT, dim),
        "t": torch.tensor([[0.0], [0.4], [1.0]]),
        "noise": torch.randn(steps, COUNT, dim),
    }


def expected_of_ours(model: NoProp, step: bool) -> dict[str, Tensor]:
    steps = 7
    given = inputs(model.config["input"], model.latent_dim, steps)
    out = dict(given)
    with torch.no_grad():
        features = model.features(given["images"])
        estimate = model.denoise(features, given["z"], given["t"])
        out |= {"features": features, "logits": estimate.logits, "u_hat": estimate.u_hat}
        out["alpha_bar"] = model.schedule(given["t"]).alpha_bar
        for kind in SAMPLERS:
            walk = sampler.trajectory(model, features, given["z"], kind, steps, given["noise"])
            out[f"trajectory.{kind}"] = walk
            out[f"prediction.{kind}"] = model.readout(features, walk[-1]).argmax(dim=1)
    return out | step_of_ours(model) if step else out


def step_of_ours(model: NoProp, batch: int = BATCH) -> dict[str, Tensor]:
    optimizer = training.adamw(model, lr=1e-3, weight_decay=1e-2)
    objective = {"kind": "ct", "eta": 1.0, "max_weight": 1.0}

    def train(images: Tensor, labels: Tensor, drawn: Draws):
        return training.train_step(model, optimizer, images, labels, objective, drawn)

    return one_step(model, train, model.config["input"], model.config["classes"], batch)


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
    optimizer = reference.adamw(model)

    def train(images: Tensor, labels: Tensor, drawn: Draws):
        terms = reference.loss(model, images, labels, drawn, once=True)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        return terms

    classes = model.fuse.net[6].out_features
    return one_step(model, train, [3, 28, 28], classes, batch)


def one_step(
    model: nn.Module, train, shape: list[int], classes: int, batch: int = BATCH
) -> dict[str, Tensor]:
    """A batch, the loss terms, the gradients, and the weights after one step of the optimiser."""
    images, labels = torch.randn(batch, *shape), torch.arange(batch) % classes
    drawn = draws(batch, model.latent_dim)
    calls = {}
    hooks = [
        module.register_forward_hook(
            lambda m, given, _, name=name: calls.setdefault(name, []).append(given[0])
        )
        for name, module in model.named_modules()
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))
    ]
    model.train()
    terms = train(images, labels, drawn)
    model.eval()
    for hook in hooks:
        hook.remove()
    out = {"images": images, "labels": labels, **drawn._asdict(), **terms._asdict()}
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
