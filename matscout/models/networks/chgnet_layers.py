"""CHGNet's read-out, to be trained on another target, and the rows that it looks at. Needs torch."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from matscout.featurizers.descriptors._chgnet import loaded
from matscout.models.networks.crystal_layers import N_OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from matscout.models.networks.chgnet_vectors import Vectors


class SiteBatch(NamedTuple):
    """Vectors of the sites of several crystals, (n_sites, 64), and which crystal each belongs to, (n_sites,)."""

    sites: Tensor
    owners: Tensor
    sizes: Tensor


@dataclass(frozen=True, eq=False)
class SiteRows:
    """Crystals as what CHGNet's last convolution makes of their sites."""

    vectors: Sequence[Vectors]

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """Sites of each crystal, shape (n,)."""
        return np.array([len(one.of_sites) for one in self.vectors], dtype=np.intp)

    def batch(self, rows: NDArray[np.intp], device: torch.device) -> SiteBatch:
        """Put the sites of some rows behind each other."""
        sites = [self.vectors[row].of_sites for row in rows.tolist()]
        sizes = np.array([len(one) for one in sites])
        return SiteBatch(
            torch.from_numpy(np.concatenate(sites)).to(device),
            torch.from_numpy(np.repeat(np.arange(len(sites)), sizes)).to(device),
            torch.from_numpy(sizes.astype(np.float32)).to(device),
        )


class ReadOut(nn.Module):
    """CHGNet's normalisation, where the edition has one, and dense layers as they were trained, with a new last layer.

    What is said of a crystal is the mean over its sites.
    """

    def __init__(self, model: str) -> None:
        super().__init__()
        network = loaded(model)
        norm = nn.Identity() if network.readout_norm is None else network.readout_norm
        self.norm = copy.deepcopy(norm).requires_grad_(requires_grad=True)
        *hidden, last = copy.deepcopy(network.mlp).requires_grad_(requires_grad=True).layers
        self.hidden = nn.Sequential(*hidden)
        self.read = nn.Linear(last.in_features, N_OUTPUTS)
        nn.init.zeros_(self.read.bias)
        nn.init.normal_(self.read.weight, std=0.1 / last.in_features**0.5)

    def per_site(self, batch: SiteBatch) -> Tensor:
        """Say what each site adds, shape (n_sites, 2)."""
        said: Tensor = self.read(self.hidden(self.norm(batch.sites)))
        return said

    @override
    def forward(self, batch: SiteBatch) -> Tensor:
        """Mean over the sites of each crystal, shape (n_crystals, 2)."""
        said = self.per_site(batch)
        sums = torch.zeros(len(batch.sizes), N_OUTPUTS, dtype=said.dtype, device=said.device)
        return sums.index_add(0, batch.owners, said) / batch.sizes[:, None]
