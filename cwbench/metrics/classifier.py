"""A small classifier of a task's own images: its verdict on classes, its features for distances.

It is trained once on the real training images, from a fixed stream, and kept by the hash of the
data. It says which class an image shows (`class-accuracy`), and the 32 numbers before its last
layer are features for a Frechet or kernel distance where no larger network is at hand. Those
distances are never called FID: they compare between runs on one task, and with nothing else.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cwbench.images import to_pixels, to_x
from cwbench.machine import tensors
from cwbench.machine.streams import seeded_globals, stream
from cwbench.ot.adam import AdamW
from cwbench.samples import ImageSet
from cwbench.task import Task

VERSION = 1
FEATURES = 32
BATCH = 128
EPOCHS = 4
STEPS = (400, 1_500)
"""At least and at most, whatever the epochs."""

RATE = 2e-3
CHUNK = 500


class Classifier(nn.Module):
    """Three convolutions, `FEATURES` numbers, one for each class.

    Args:
        channels: of the images.
        classes: how many there are.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, FEATURES), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(n, classes)` of images x in [-1, 1]."""
        logits: Tensor = self.head(self.body(x))
        return logits


class ClassifierFeatures:
    """The classifier as a feature network: its features, then its logits."""

    name = f"classifier-{VERSION}"

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier.eval()

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """`(n, FEATURES + classes)` of images x, rounded to pixels as real ones are."""
        features = [self.classifier.body(part) for part in to_x(to_pixels(x)).split(CHUNK)]
        body = torch.cat(features)
        return torch.cat([body, self.classifier.head(body)], 1)


_MADE: dict[str, ClassifierFeatures] = {}
"""The classifiers of this process by fingerprint and source; many metrics ask for the same."""


def classifier_of(task: Task, cache: Path | None) -> ClassifierFeatures:
    """The classifier of a task's images, trained where there is none that can be read."""
    decisive = task.fingerprint() + (task.source_sha256 or "")
    key = hashlib.sha256(decisive.encode()).hexdigest()[:16]
    name = f"{task.info.name}-{key}-{ClassifierFeatures.name}.safetensors"
    path = cache / name if cache else None
    if key not in _MADE:
        _MADE[key] = ClassifierFeatures(_made(task, path))
    if path and not path.is_file():
        tensors.keep(path, _MADE[key].classifier.state_dict())
    return _MADE[key]


def _made(task: Task, path: Path | None) -> Classifier:
    stored = task.stored_images("train")
    assert stored is not None and task.num_classes  # noqa: S101 - declared by the metric's needs
    network = Classifier(stored.images.shape[1], task.num_classes)
    if path is None or not _loaded(network, path):
        _train(network, stored)
        if path:
            with suppress(OSError):
                path.unlink()  # it could not be read
    return network


def _loaded(network: Classifier, path: Path) -> bool:
    state = tensors.kept(path)
    try:
        network.load_state_dict(state or {})
    except RuntimeError:
        return False
    return True


def _train(network: Classifier, stored: ImageSet) -> None:
    """Adam with a falling rate on small shifts of the images, the same for ever."""
    with seeded_globals("classifier", VERSION):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
    steps = min(STEPS[1], max(STEPS[0], EPOCHS * len(stored.labels) // BATCH))
    optimizer = AdamW(network.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    network.train()
    for step in range(steps):
        generator = stream("classifier", VERSION, step)
        chosen = torch.randint(len(stored.labels), (BATCH,), generator=generator)
        x = _shifted(to_x(stored.images[chosen]), generator)
        loss = functional.cross_entropy(network(x), stored.labels[chosen], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()


def _shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """The batch moved by up to an eighth of its size, the same for all of it."""
    reach = x.shape[-1] // 8
    rows, columns = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
    return torch.roll(x, (rows, columns), (2, 3))
