"""What surrogates that are ensembles of networks have in common. Torch is imported when one is trained or asked."""

from __future__ import annotations

import hashlib
import json
import logging
from abc import abstractmethod
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from matscout.db.files import write_whole
from matscout.errors import UserError
from matscout.models.base import Surrogate
from matscout.models.gradient_boosting import set_aside
from matscout.models.kept_files import DamagedError, read_tensors
from matscout.models.members import combined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from matscout.models.base import Task
    from matscout.models.inputs import Inputs
    from matscout.models.networks.outputs import Rows
    from matscout.models.networks.training import Training
    from matscout.models.prediction import Prediction

_LOG = logging.getLogger(__name__)

EARLY_STOPPING_ROWS = 500
"""With fewer rows none are set aside: some tens of rows judge so badly that the full training does better."""

_NOT_OF_A_MEMBER = ("n_members", "checkpoints", "device", "n_threads")


@dataclass(kw_only=True)
class NetworkSurrogate(Surrogate):
    """An ensemble of networks, each of its own seed, that learn a mean and the scale of the error about it.

    Lakshminarayanan, Pritzel, Blundell, NIPS 30 (2017), arXiv:1612.01474. On a processor the same seed and number
    of threads give the same bits again; a GPU adds up in an order of its own.

    Parameters
    ----------
    n_members
        Networks of the ensemble. One alone tells no epistemic part.
    epochs
        Times that a network sees each row.
    batch_size
        Rows of a batch; fewer where there are few rows.
    learning_rate, weight_decay
        Highest rate of AdamW, and its decay of the weights.
    validation_part
        Share of the rows, or rather groups, that each member sets aside to tell its best epoch; other ones for each
        member. 0 sets none aside. Nor are there any with fewer than `EARLY_STOPPING_ROWS` rows.
    patience
        Epochs without gain on these after which training ends.
    device
        ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``. What was trained with ``cuda`` and kept is taken up as
        ``auto`` where there is no GPU.
    n_threads
        Threads of a processor.
    checkpoints
        Folder in which each member is kept when it is trained, so that a training that was interrupted goes on with the
        next one; None keeps none.

    Raises
    ------
    UserError
        A package that it needs is not installed, training diverged, a target is too large, the device is not there, or
        the folder of the checkpoints cannot be made.
    """

    packages: ClassVar[tuple[str, ...]] = ("torch",)
    """What must be installed to train it or to ask it."""
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "classification")
    held_out_part: ClassVar[float | None] = 0.1

    n_members: int = 3
    epochs: int = 60
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    validation_part: float = 0.1
    patience: int = 30
    device: str = "auto"
    n_threads: int = 1
    checkpoints: str | None = None

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self._members: list[nn.Module] = []
        for name in ("n_members", "epochs", "batch_size", "patience", "n_threads"):
            self.check_number(name, getattr(self, name), 1, integer=True)
        self.check_number("learning_rate", self.learning_rate, 0, 1, above=True)
        self.check_number("weight_decay", self.weight_decay, 0)
        self.check_number("validation_part", self.validation_part, 0, 0.5)
        self.check_choice("device", self.device, ("auto", "cpu", "cuda"))
        if self.checkpoints is not None and not isinstance(self.checkpoints, str):
            raise UserError(f"option checkpoints must be the name of a folder, got {self.checkpoints!r}")

    @abstractmethod
    def _rows(self, inputs: Any) -> Rows:
        """Put inputs into the form that batches are made of."""

    @abstractmethod
    def _network(self, rows: Rows | None) -> nn.Module:
        """Make a network with new weights, as torch's seed has them.

        With the training rows, what it standardises by is taken from them; without, it will be loaded.
        """

    @override
    def _fit(self, inputs: Inputs, y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> None:
        self._check_installed()
        self._centre, self._spread = (0.0, 1.0) if self.task == "classification" else _centre_and_spread(y)
        self._members = []
        target = (y - self._centre) / self._spread
        files = self._checkpoint_files(inputs, y, groups)
        rows = self._rows(inputs)
        self._members = [self._member(number, rows, target, groups, file) for number, file in enumerate(files)]

    def _check_installed(self) -> None:
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            raise UserError(f"the surrogate {self.name} needs {' and '.join(missing)}: pip install 'matscout[gnn]'")

    def _checkpoint_files(
        self, inputs: Inputs, y: NDArray[np.float64], groups: NDArray[np.intp] | None
    ) -> Sequence[Path | None]:
        """Say where each member is kept; a folder that cannot be made is known before hours of training."""
        if self.checkpoints is None:
            return [None] * self.n_members
        folder = Path(self.checkpoints)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"option checkpoints: cannot make the folder {folder} ({error.strerror})") from error
        key = _key(self, inputs, y, groups)
        return [folder / f"{key}-{number}.safetensors" for number in range(self.n_members)]

    def _member(
        self,
        number: int,
        rows: Rows,
        target: NDArray[np.float64],
        groups: NDArray[np.intp] | None,
        file: Path | None,
    ) -> nn.Module:
        """Train one member, or take up its checkpoint."""
        from matscout.models.networks.training import chosen_device, reproducible, train_network

        if file is not None and file.is_file():
            try:
                return self._loaded(file)
            except DamagedError:
                _LOG.warning("%s cannot be taken up: this member is trained again", file)
        # a generator per member, so that the first members of a larger ensemble are those of a smaller one
        rng = np.random.default_rng((self.seed, number))
        aside = None
        if self.validation_part and len(target) >= EARLY_STOPPING_ROWS:
            aside = set_aside(len(target), self.validation_part, groups, rng)
        device = chosen_device(self.device)
        with reproducible(self.n_threads, seed=int(rng.integers(2**31)), device=device):
            network = self._network(rows).to(device)
            network, _ = train_network(
                network, rows, target, self._training_plan(), aside=aside, rng=rng, device=device
            )
        if file is not None:
            _write(file, network)
        return network

    def _training_plan(self) -> Training:
        from matscout.models.networks.training import Training

        return Training(
            task=self.task,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
        )

    @override
    def _predict(self, inputs: Inputs) -> Prediction:
        rows = self._rows(inputs)
        return combined(self._said(rows), self.task)

    def _said(self, rows: Rows) -> Iterable[tuple[NDArray[np.float64], NDArray[np.float64] | None]]:
        from matscout.models.networks.outputs import mean_and_variance, outputs_of
        from matscout.models.networks.training import chosen_device, reproducible

        device = chosen_device(self.device)
        for member in self._members:
            with reproducible(self.n_threads):
                outputs = outputs_of(member.to(device), rows, device)
            yield mean_and_variance(outputs, self.task, self._centre, self._spread)

    @override
    def _save(self, folder: Path) -> dict[str, Any]:
        for number, member in enumerate(self._members):
            _write(folder / _file(number), member)
        return {"members": len(self._members), "centre": self._centre, "spread": self._spread}

    @override
    def _load(self, folder: Path, state: Mapping[str, Any]) -> None:
        self._check_installed()
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            self.device = "auto"
        self._centre, self._spread = float(state["centre"]), float(state["spread"])
        self._members = [self._loaded(folder / _file(number)) for number in range(state["members"])]

    def _loaded(self, file: Path) -> nn.Module:
        from matscout.models.networks.training import chosen_device, reproducible

        with reproducible(self.n_threads, seed=0):  # its new weights are replaced, and use up no random numbers
            network = self._network(None)
        tensors = read_tensors(file)
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:  # names or shapes are those of another network
            raise DamagedError(file) from error
        return network.requires_grad_(requires_grad=False).eval().to(chosen_device(self.device))


def _centre_and_spread(y: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and std of targets; the std of equal ones is taken as 1."""
    with np.errstate(over="ignore"):
        centre, spread = float(y.mean()), float(y.std()) or 1.0
    if not np.isfinite([centre, spread]).all():
        raise UserError(f"a target of {np.abs(y).max():.3g} is too large to learn from: take a larger unit")
    return centre, spread


def _file(number: int) -> str:
    return f"member-{number}.safetensors"


def _write(file: Path, network: nn.Module) -> None:
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {name: one.cpu().contiguous() for name, one in network.state_dict().items()}
    content = save(tensors)
    write_whole(file, lambda opened: opened.write(content))


def _key(surrogate: Surrogate, inputs: Inputs, y: NDArray[np.float64], groups: NDArray[np.intp] | None) -> str:
    """Name what a member is trained on, and how: a checkpoint of something else is not taken up."""
    options = {name: value for name, value in surrogate.options().items() if name not in _NOT_OF_A_MEMBER}
    digest = hashlib.sha256(json.dumps([surrogate.name, options, inputs.fingerprint()], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(y, dtype="<f8").tobytes())
    digest.update(b"" if groups is None else np.ascontiguousarray(groups, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]
