"""Compares numbers at full ResNet-18 size. `cargo xtask bench --parity` calls this twice:

    python parity.py make DIR       random weights, inputs, and what PyTorch computes from them,
                                    a training step included
    python parity.py compare DIR    the largest differences from what `noprop dump-values` wrote, as JSON
"""

import argparse
import json
import tomllib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from make_fixtures import card, contiguous, step_of_ours, step_of_reference, unsettled
from noprop_torch import reference, sampler, weights
from noprop_torch.model import NoProp

IMAGES = 16
# Images of the training step. With many of them some ReLU is always next to its kink.
STEP_IMAGES = 8
RECIPE = Path(__file__).parents[2] / "recipes/mnist-resnet18.toml"
# Traces of each model, by the names of the files: sampler and T.
WALKS = {"ours": [("ddim", 10), ("heun", 40)], "reference": [("reference-heun", 40)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("make", "compare"))
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    {"make": make, "compare": compare}[args.what](args.folder)


def make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for name, model, step in zip(WALKS, models(folder), (step_of_ours, step_of_reference)):
        taken = step(model, STEP_IMAGES)
        save_file(contiguous(taken), str(folder / f"{name}.step.safetensors"))


@torch.no_grad()
def models(folder: Path) -> tuple[nn.Module, nn.Module]:
    """Both, with their weights, inputs and what they say of them in files."""
    recipe = tomllib.loads(RECIPE.read_text())
    ours = unsettled(NoProp(recipe["method"], recipe["model"]))
    weights.save(str(folder / "ours.safetensors"), ours, card(ours.config))
    given = inputs(1, ours.latent_dim)
    features = ours.features(given["images"])
    estimate = ours.denoise(features, given["z"], given["t"])
    point = ours.schedule(given["t"])
    expected = estimates(features, estimate.logits, estimate.u_hat, point.alpha_bar)
    for kind, steps in WALKS["ours"]:
        expected[kind] = sampler.trajectory(ours, features, given["z"], kind, steps)
    save(folder, "ours", given, expected)

    theirs = unsettled(reference.Mnist("resnet18"))
    torch.save(theirs.state_dict(), folder / "reference.pt")
    given = inputs(3, theirs.latent_dim)
    features = theirs.backbone(given["images"])
    logits = theirs.denoise(features, given["z"], given["t"])
    expected = estimates(features, logits, theirs.u_hat(logits), theirs.alpha_bar(given["t"]))
    for kind, steps in WALKS["reference"]:
        heun = kind == "reference-heun"
        walk = reference.sample(theirs, given["images"], steps, heun, once=True, z_0=given["z"])
        expected[kind] = walk.trajectory
    save(folder, "reference", given, expected)
    return ours, theirs


def inputs(channels: int, dim: int) -> dict[str, Tensor]:
    return {
        "images": torch.randn(IMAGES, channels, 28, 28),
        "z": torch.randn(IMAGES, dim),
        "t": torch.linspace(0, 1, IMAGES)[:, None],
    }


def estimates(*values: Tensor) -> dict[str, Tensor]:
    return dict(zip(("features", "logits", "u_hat", "alpha_bar"), values, strict=True))


def save(folder: Path, name: str, given: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    save_file(contiguous(given), str(folder / f"{name}.in.safetensors"))
    save_file(contiguous(expected), str(folder / f"{name}.expected.safetensors"))


def compare(folder: Path) -> None:
    rows = []
    for name, walks in WALKS.items():
        expected = load_file(str(folder / f"{name}.expected.safetensors"))
        for index, (kind, steps) in enumerate(walks):
            traced = load_file(str(folder / f"{name}.{kind}.safetensors"))
            pairs = [(f"{kind}, T = {steps}: z_0 … z_T", "z_trajectory", kind)]
            if index == 0:
                same = ("features", "logits", "u_hat", "alpha_bar")
                pairs = [(what, what, what) for what in same] + pairs
            for what, ours, theirs in pairs:
                theirs = expected[theirs]
                rows.append(
                    {
                        "model": name,
                        "what": what,
                        "largest": theirs.abs().max().item(),
                        "difference": (traced[ours] - theirs).abs().max().item(),
                    }
                )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
