"""The tables `method` and `model` of a recipe or of a file's card, with what they leave out."""

from dataclasses import dataclass, field

SCHEDULES = {
    "learned": {"gamma_0": -7.0, "gamma_1": 7.0, "hidden": 64},
    "linear": {"gamma_0": -7.0, "gamma_1": 7.0},
}
BACKBONES = {
    "resnet": {"depth": 18, "stem": "imagenet", "width": 64},
    "cnn": {"width": 32, "dropout": 0.2},
    "airbench": {"width": 64},
}
MODEL = {
    "classes": 10,
    "input": [1, 28, 28],
    "embed_dim": 256,
    "time_dim": 64,
    "time_scale": 1000.0,
    "class_embedding": {"kind": "one-hot"},
    "label_encoder": "linear",
}


@dataclass(frozen=True)
class Ct:
    """NoProp-CT. The keys are described in crates/noprop-core/src/method/ct.rs."""

    eta: float = 1.0
    loss: str = "squared-error"
    weight: str = "snr"
    max_snr: float | None = None
    label_smoothing: float = 0.0
    skip: bool = False
    draws: int = 1
    time_sampling: str = "uniform"
    schedule: dict = field(default_factory=lambda: {"kind": "learned"})

    def __post_init__(self):
        kind = self.schedule["kind"]
        object.__setattr__(self, "schedule", SCHEDULES[kind] | self.schedule)


@dataclass(frozen=True)
class Classifier:
    """A plain classifier: the same backbone and head, trained by cross-entropy alone."""

    label_smoothing: float = 0.0


@dataclass(frozen=True)
class Reference:
    """The formulas of the reference on our network; `scale`, `clamp` and `readout` come from the
    name of the method."""

    gamma_0: float
    gamma_1: float
    scale: float
    clamp: float
    readout: str
    eta: float = 1.0
    hidden: int = 64


Settings = Ct | Classifier | Reference


def method(table: dict) -> Settings:
    """The settings of a table `method`. An unknown key is an error."""
    values = dict(table)
    kind = values.pop("kind")
    if kind == "ct":
        return Ct(**values)
    if kind == "classifier":
        return Classifier(**values)
    if kind == "reference-mnist":
        return Reference(scale=1.0, clamp=1e-5, readout="z", **values)
    if kind == "reference-simple":
        return Reference(scale=0.5, clamp=0.01, readout="denoiser", **values)
    raise ValueError(f"method {kind!r} is not ported")


def model(table: dict) -> dict:
    """A table `model` with every key."""
    backbone = table.get("backbone", {"kind": "resnet"})
    return {
        **MODEL,
        **table,
        "backbone": BACKBONES[backbone["kind"]] | backbone,
        "head": {"hidden": [256, 128], "batch_norm": False} | table.get("head", {}),
    }
