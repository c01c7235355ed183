"""The layers of `CompositionNetwork`, and the rows that they look at. Needs torch.

Batches are sorted by number of elements: all rows with n elements are one block of an array, so that attention needs no
padding and no mask, which would take four times the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

from matscout.db._elements import N_ELEMENTS
from matscout.featurizers.elements import magpie_table, site_table

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from matscout.models.inputs import CompositionInputs

_BEYOND_MAGPIE = (
    "ionic_radius",
    "ionization_energy",
    "electron_affinity",
    "polarizability",
    "max_oxidation_state",
    "min_oxidation_state",
)
_NORMS = (2, 3, 5, 7)
_STEPS = 12  # of each of the two scales on which a fraction is laid out
_SMALLEST_FRACTION = 1e-30
_BLOCK_ROWS = 4096  # whose statistics are computed together: bounds the memory
_LOWEST_LOG = -4.0  # of a fraction, where the logarithmic scale begins
_FARTHEST = 6.0  # std from the mean of the training rows that a statistic is followed

N_FRACTION_FEATURES = 5 + 2 * _STEPS


def element_properties() -> NDArray[np.float32]:
    """Properties of the elements, each of mean 0 and std 1, shape (119, n_properties); row 0 is 0.

    An element without a value has the mean of the others.
    """
    others = site_table().filled("mean")
    values = np.column_stack([magpie_table("mean").values, *(others.column(name) for name in _BEYOND_MAGPIE)])
    standard = (values - values[1:].mean(axis=0)) / values[1:].std(axis=0)
    standard[0] = 0.0
    return np.asarray(standard, dtype=np.float32)


def n_statistics(properties: NDArray[np.float32]) -> int:
    """Count the columns of `composition_statistics`."""
    return 5 * int(properties.shape[1]) + len(_NORMS) + 1


def composition_statistics(inputs: CompositionInputs, properties: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean, mean deviation, largest, smallest and range of each property, and p-norms of the fractions.

    The statistics of Ward et al., npj Comput. Mater. 2, 16028 (2016), doi:10.1038/npjcompumats.2016.28.

    Parameters
    ----------
    inputs
        n compositions.
    properties
        Shape (119, n_properties).

    Returns
    -------
    Shape (n, 5 n_properties + 5); the last column is the number of elements.
    """
    found = np.empty((len(inputs), n_statistics(properties)), dtype=np.float32)
    for start in range(0, len(inputs), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        found[rows] = _statistics(inputs.take(rows), properties)
    return found


def _statistics(inputs: CompositionInputs, properties: NDArray[np.float32]) -> NDArray[np.float64]:
    """Statistics of a few compositions, in the columns of `composition_statistics`."""
    present = inputs.numbers > 0
    weights = inputs.fractions[..., None]
    of_element = properties[inputs.numbers].astype(np.float64)
    mean = (weights * of_element).sum(axis=1)
    deviation = (weights * np.abs(of_element - mean[:, None])).sum(axis=1)
    largest = np.where(present[..., None], of_element, -np.inf).max(axis=1)
    smallest = np.where(present[..., None], of_element, np.inf).min(axis=1)
    norms = [(inputs.fractions**p).sum(axis=1) ** (1 / p) for p in _NORMS]
    shape = np.column_stack([*norms, present.sum(axis=1)])
    return np.hstack([mean, deviation, largest, smallest, largest - smallest, shape])


class Block(NamedTuple):
    """Rows of one number of elements, consecutive within a batch."""

    n_elements: int
    n_rows: int


@dataclass(frozen=True, eq=False)
class Batch:
    """Compositions, sorted by their number of elements.

    Attributes
    ----------
    numbers
        Atomic numbers of all rows behind each other, shape (m,).
    fractions
        Features of their fractions, shape (m, `N_FRACTION_FEATURES`).
    logarithms
        Logarithms of their fractions, shape (m,).
    statistics
        Shape (n, n_statistics).
    blocks
        How many rows there are of each number of elements, ascending.
    place
        Place of each row among the sorted ones, shape (n,).
    """

    numbers: Tensor
    fractions: Tensor
    logarithms: Tensor
    statistics: Tensor
    blocks: tuple[Block, ...]
    place: Tensor

    def of_blocks(self, values: Tensor) -> tuple[Tensor, ...]:
        """Part values of all elements, shape (m, ...), into those of each block."""
        return torch.split(values, [block.n_elements * block.n_rows for block in self.blocks])


class CompositionRows:
    """Compositions that batches are made of."""

    def __init__(self, inputs: CompositionInputs, properties: NDArray[np.float32]) -> None:
        self._numbers = torch.as_tensor(inputs.numbers.astype(np.int64))
        present = inputs.numbers > 0
        # a smaller one is 0 in single precision, and its logarithm infinite
        fractions = np.where(present, np.maximum(inputs.fractions, _SMALLEST_FRACTION), 0.0)
        self._fractions = torch.as_tensor(fractions.astype(np.float32))
        self._counts = present.sum(axis=1)
        self.sizes: NDArray[np.intp] = self._counts**2  # pairs of elements
        self.statistics = torch.as_tensor(composition_statistics(inputs, properties))

    def __len__(self) -> int:
        return len(self._numbers)

    def batch(self, rows: NDArray[np.intp], device: torch.device) -> Batch:
        """Put rows into a batch on a device."""
        order = np.argsort(self._counts[rows], kind="stable")
        place = np.empty(len(rows), dtype=np.int64)
        place[order] = np.arange(len(rows))
        chosen = torch.as_tensor(rows[order])
        numbers, fractions = self._numbers[chosen], self._fractions[chosen]
        present = numbers > 0
        largest = fractions.amax(dim=1, keepdim=True).expand_as(fractions)[present]
        smallest = fractions.masked_fill(~present, 1.0).amin(dim=1, keepdim=True).expand_as(fractions)[present]
        fraction = fractions[present]
        return Batch(
            numbers[present].to(device),
            fraction_features(fraction, largest, smallest).to(device),
            fraction.log().to(device),
            self.statistics[chosen].to(device),
            tuple(map(Block, *(one.tolist() for one in np.unique(self._counts[rows], return_counts=True)))),
            torch.as_tensor(place, device=device),
        )


def fraction_features(fraction: Tensor, largest: Tensor, smallest: Tensor) -> Tensor:
    """Lay atomic fractions out on a linear and a logarithmic scale, so that a network can tell 1/2 from 3/7.

    In the spirit of CrabNet's fractional encoding: Wang et al., npj Comput. Mater. 7, 77 (2021),
    doi:10.1038/s41524-021-00545-1.

    Parameters
    ----------
    fraction
        Shape (m,).
    largest, smallest
        Of the elements in the same composition, shape (m,): the ratios to them tell the formula's indices.

    Returns
    -------
    Shape (m, `N_FRACTION_FEATURES`).
    """
    logarithm = fraction.log()
    plain = torch.stack([fraction, fraction.sqrt(), logarithm / 3, fraction / largest, smallest / fraction], dim=1)
    linear = torch.linspace(0, 1, _STEPS)
    logarithmic = torch.linspace(_LOWEST_LOG, 0, _STEPS)
    near = torch.exp(-(((fraction[:, None] - linear) * _STEPS) ** 2) / 2)
    near_log = torch.exp(-(((logarithm[:, None] - logarithmic) * (_STEPS / -_LOWEST_LOG)) ** 2) / 2)
    return torch.cat([plain, near, near_log], dim=1)


class ElementAttention(nn.Module):
    """Each element gathers a message from each element of the composition, itself among them.

    Dot products of heads, as in CrabNet (doi:10.1038/s41524-021-00545-1); the attention grows with a power of the
    fraction of the element that it is paid to, as in Roost (doi:10.1038/s41467-020-19964-7).
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.inward = nn.Linear(width, 3 * width)
        self.power = nn.Parameter(torch.ones(n_heads))
        self.outward = nn.Linear(width, width)

    @override
    def forward(self, elements: Tensor, batch: Batch) -> Tensor:
        by_fraction = self.power * batch.logarithms[:, None]
        inward_parts = batch.of_blocks(self.inward(self.norm(elements)))
        parts = zip(batch.blocks, inward_parts, batch.of_blocks(by_fraction), strict=True)
        gathered = []
        for (n, rows), inward, fractions in parts:
            query, key, value = inward.view(rows, n, 3, self.n_heads, -1).unbind(dim=2)
            # products and sums: for so few elements a product of matrices takes longer
            scores = (query[:, :, None] * key[:, None]).sum(dim=-1) / math.sqrt(key.shape[-1])
            weights = (scores + fractions.view(rows, 1, n, -1)).softmax(dim=2)
            gathered.append((weights[..., None] * value[:, None]).sum(dim=2).reshape(rows * n, -1))
        return self.outward(torch.cat(gathered))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """Attention between the elements, then two dense layers for each; both are added to what was there."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = ElementAttention(width, n_heads)
        self.dense = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, elements: Tensor, batch: Batch) -> Tensor:
        elements = elements + self.dropout(self.attention(elements, batch))
        return elements + self.dropout(self.dense(elements))  # type: ignore[no-any-return]


class AttentionPooling(nn.Module):
    """Weighted mean over the elements of a composition, in heads; the weights grow with the fractions."""

    def __init__(self, width: int, pooled: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, n_heads)
        self.value = nn.Linear(width, pooled)
        self.power = nn.Parameter(torch.ones(n_heads))

    @override
    def forward(self, elements: Tensor, batch: Batch) -> Tensor:
        normed = self.norm(elements)
        scores = self.score(normed) + self.power * batch.logarithms[:, None]
        values = functional.silu(self.value(normed))
        pooled = []
        for (n, rows), score, value in zip(batch.blocks, *map(batch.of_blocks, (scores, values)), strict=True):
            weights = score.view(rows, n, -1).softmax(dim=1)
            heads = value.view(rows, n, self.n_heads, -1)
            pooled.append((weights[..., None] * heads).sum(dim=1).reshape(rows, -1))
        return torch.cat(pooled)


class CompositionModule(nn.Module):
    """From compositions to two numbers each: see `matscout.models.networks.training`.

    Parameters
    ----------
    properties
        Of the elements, shape (119, n_properties).
    statistics
        Of the training rows, shape (n, n_statistics): their mean and std are kept to standardise by. None where those
        that were kept will be loaded.
    width
        Numbers that describe an element.
    n_layers, n_heads
        Layers of attention, and heads of each.
    dropout
        Part of what a layer adds that is left out in training.
    """

    properties: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        properties: NDArray[np.float32],
        statistics: Tensor | None,
        *,
        width: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        pooled = 2 * width
        if statistics is None:
            statistics = torch.zeros(1, n_statistics(properties))
        self.register_buffer("properties", torch.as_tensor(properties))
        self.register_buffer("centre", statistics.mean(dim=0))
        spread = statistics.std(dim=0, correction=0)
        self.register_buffer("spread", torch.where(spread > 1e-6, spread, torch.ones_like(spread)))
        self.embedding = nn.Embedding(N_ELEMENTS, width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.of_properties = nn.Linear(properties.shape[1], width)
        self.of_fraction = nn.Linear(N_FRACTION_FEATURES, width, bias=False)
        self.layers = nn.ModuleList(Layer(width, n_heads, dropout) for _ in range(n_layers))
        self.pooling = AttentionPooling(width, pooled, n_heads)
        self.of_statistics = nn.Linear(statistics.shape[1], pooled)
        self.head = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(pooled),
                nn.Linear(pooled, pooled),
                nn.SiLU(),
                nn.Dropout(dropout),
                nn.Linear(pooled, pooled),
            )
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(pooled)
        self.out = nn.Linear(pooled, 2)
        nn.init.zeros_(self.out.weight)  # the first guess is the mean of the targets
        nn.init.zeros_(self.out.bias)

    @override
    def forward(self, batch: Batch) -> Tensor:
        known = self.embedding.weight + self.of_properties(self.properties)
        elements = functional.embedding(batch.numbers, known) + self.of_fraction(batch.fractions)
        for layer in self.layers:
            elements = layer(elements, batch)
        statistics = ((batch.statistics - self.centre) / self.spread).clamp(-_FARTHEST, _FARTHEST)
        whole = self.pooling(elements, batch) + self.of_statistics(statistics)
        for dense in self.head:
            whole = whole + dense(whole)
        return self.out(self.norm(whole)).index_select(0, batch.place)  # type: ignore[no-any-return]
