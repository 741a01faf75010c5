"""Trains our model in PyTorch as a recipe says, and prints one JSON object per evaluation: seconds
of training so far, and percent of the test images that are right. The same network, loss, batches,
optimiser and learning rates as `noprop train`; other random numbers.

    python train.py --recipe ../../recipes/cifar10-small.toml --data-root DIR --threads 2
    python train.py ... --classifier     # the same network by plain cross-entropy
    python train.py ... --set train.batch_size=2048

Evaluations are not counted. The walks are those of the recipe.
"""

import argparse
import json
import math
import time
import tomllib
from pathlib import Path

import torch

import datasets
from noprop_torch import backbone, sampler, training
from noprop_torch.model import NoProp

# Keys of the table `train` that are ported, and the values of `noprop` where a recipe has none.
TRAIN = {
    "epochs": 10,
    "batch_size": 128,
    "optimizer": "adamw",
    "lr": 1e-3,
    "lr_schedule": "constant",
    "warmup_steps": 0,
    "weight_decay": 1e-3,
    "decay_all": False,
    "clip_norm": math.inf,
}
WALKS = {
    "ct": ("heun", 40),
    "classifier": ("direct", 1),
    "reference-mnist": ("reference-heun", 40),
    "reference-simple": ("reference-heun", 40),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as noprop")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--classifier", action="store_true", help="method \"classifier\" instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--channels-last", action="store_true", help="layout of the images")
    parser.add_argument("--evaluate-every", type=int, help="steps; once an epoch when absent")
    parser.add_argument("--stop-at", type=float, default=math.inf, help="percent")
    parser.add_argument("--max-seconds", type=float, default=math.inf, help="of training")
    parser.add_argument("--max-steps", type=int, default=None, help="then evaluate and end")
    parser.add_argument("--images", type=int, help="at most so many training and test images")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    recipe = with_changes(tomllib.loads(args.recipe.read_text()), args.set)
    train(recipe, args)


def with_changes(recipe: dict, changes: list[str]) -> dict:
    for change in changes:
        key, value = change.split("=", 1)
        *tables, name = key.split(".")
        table = recipe
        for part in tables:
            table = table.setdefault(part, {})
        table.update(tomllib.loads(f"{name} = {value}"))
    return recipe


def train(recipe: dict, args: argparse.Namespace) -> None:
    unknown = set(recipe.get("train", {})) - set(TRAIN)
    if unknown:
        raise ValueError(f"train {sorted(unknown)} is not ported")
    config, data = TRAIN | recipe.get("train", {}), recipe.get("data", {})
    train_split, test = datasets.load(args.data_root, args.images)
    # As many images are held out as noprop holds out for validation, but not the same.
    count = len(train_split.labels) - data.get("validation", 1000)
    pixels, labels = (tensor[:count] for tensor in train_split)
    normalise = datasets.Normalization(train_split.pixels)

    method = recipe["method"]
    if args.classifier:
        smoothing = method.get("label_smoothing", 0.0)
        method = {"kind": "classifier", "label_smoothing": smoothing}
    table = {"input": list(pixels.shape[1:])} | recipe.get("model", {})
    model = NoProp(method, table)
    channels = model.config["input"][0]
    if isinstance(model.backbone, backbone.Airbench):
        model.backbone.whiten(normalise(pixels[:5000], channels))
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)
    optimizer = optimizer_of(model, config)
    batch_size = config["batch_size"]
    per_epoch = count // batch_size
    total = per_epoch * config["epochs"]
    every, seconds, step = args.evaluate_every or per_epoch, 0.0, 0
    end = total if args.max_steps is None else min(args.max_steps, total)
    if end == 0:
        raise ValueError(f"{count} images make no batch of {batch_size}")
    while step < end:
        order = torch.randperm(count)
        for batch in order.split(batch_size)[: min(per_epoch, end - step)]:
            start = time.perf_counter()
            model.train()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step, total)
            images = datasets.augmented(pixels[batch], data.get("augment", {}))
            images = normalise(images, channels).to(memory_format=layout)
            clip = config["clip_norm"]
            terms = training.train_step(model, optimizer, images, labels[batch], clip_norm=clip)
            seconds += time.perf_counter() - start
            step += 1
            if step % every == 0 or step == end:
                percent = accuracy(model.eval(), normalise, test, recipe, method["kind"], layout)
                report = {"step": step, "seconds": seconds, "percent": percent}
                print(json.dumps(report | {"loss": terms.total.item()}), flush=True)
                if percent >= args.stop_at or seconds >= args.max_seconds:
                    return


def optimizer_of(model: NoProp, config: dict) -> torch.optim.Optimizer:
    if config["optimizer"] != "adamw":
        raise ValueError(f"optimizer {config['optimizer']!r} is not ported")
    return training.adamw(model, config["lr"], config["weight_decay"], config["decay_all"])


def learning_rate(config: dict, step: int, total: int) -> float:
    """As `LrSchedule::at` in crates/noprop-train/src/optimizer.rs."""
    peak, warmup = config["lr"], config["warmup_steps"]
    if step < warmup:
        return peak * (step + 1) / warmup
    position, rise, first = (step - warmup) / max(total - warmup, 1), 0.3, 1 / 25
    if config["lr_schedule"] == "constant":
        return peak
    if config["lr_schedule"] == "one-cycle":
        if position < rise:
            return peak * (first + (1 - first) * position / rise)
        position = (position - rise) / (1 - rise)
    elif config["lr_schedule"] != "cosine":
        raise ValueError(f"lr_schedule {config['lr_schedule']!r} is not ported")
    return peak * 0.5 * (1 + math.cos(math.pi * min(position, 1)))


def accuracy(model, normalise, test, recipe: dict, kind: str, layout) -> float:
    """Percent of the test images that are right."""
    evaluation = recipe.get("eval", {}) if kind == recipe["method"]["kind"] else {}
    usual, steps = WALKS[kind]
    walk = (evaluation.get("sampler", usual), evaluation.get("steps", steps))
    votes, right = evaluation.get("votes", 1), 0
    for pixels, classes in zip(test.pixels.split(500), test.labels.split(500)):
        images = normalise(pixels, model.config["input"][0]).to(memory_format=layout)
        right += (sampler.predict(model, images, *walk, votes) == classes).sum().item()
    return 100 * right / len(test.labels)


if __name__ == "__main__":
    main()
