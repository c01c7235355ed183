"""The layers of `CrystalGraph`, and the rows that they look at. Needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch_geometric.nn import CGConv
from typing_extensions import override

from matscout.models.networks.graphs import element_features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from matscout.models.networks.graphs import Graph

GAUSSIAN_STEP = 0.25
"""Distance between the Gaussians that a bond length is written in, and their width, Å."""

N_OUTPUTS = 2
"""Target, and logarithm of the scale of its error: see `matscout.models.networks.training`."""


class GraphBatch(NamedTuple):
    """Graphs of several crystals as one, nodes and edges of the first one first.

    Attributes
    ----------
    numbers
        Atomic number of each node, shape (n_nodes,).
    shares
        Share of its crystal's sites, shape (n_nodes,).
    owners
        Number of the node's crystal, shape (n_nodes,).
    edges
        Neighbour and centre, shape (2, n_edges).
    distances, weights
        As in `Graph`, shape (n_edges,).
    n_crystals
        How many there are.
    """

    numbers: Tensor
    shares: Tensor
    owners: Tensor
    edges: Tensor
    distances: Tensor
    weights: Tensor
    n_crystals: int


@dataclass(frozen=True, eq=False)
class GraphRows:
    """Graphs as rows that batches are made of."""

    graphs: Sequence[Graph]

    def __len__(self) -> int:
        return len(self.graphs)

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """Bonds and nodes of each graph, shape (n,)."""
        return np.array([len(graph.centres) + len(graph) for graph in self.graphs], dtype=np.intp)

    def batch(self, rows: NDArray[np.intp], device: torch.device) -> GraphBatch:
        """Put the graphs of some rows behind each other."""
        graphs = [self.graphs[row] for row in rows.tolist()]
        sizes = np.array([len(graph) for graph in graphs])
        begins = (np.cumsum(sizes) - sizes).tolist()
        pairs = [np.stack([g.neighbours, g.centres]) + begin for g, begin in zip(graphs, begins, strict=True)]

        def single(name: str) -> Tensor:
            joined = np.concatenate([getattr(graph, name) for graph in graphs])
            return torch.from_numpy(joined.astype(np.float32)).to(device)

        return GraphBatch(
            numbers=torch.from_numpy(np.concatenate([graph.numbers for graph in graphs])).to(device),
            shares=single("shares"),
            owners=torch.from_numpy(np.repeat(np.arange(len(graphs)), sizes)).to(device),
            edges=torch.from_numpy(np.concatenate(pairs, axis=1)).to(device),
            distances=single("distances"),
            weights=single("weights"),
            n_crystals=len(graphs),
        )


class ShellConvolution(CGConv):  # type: ignore[misc]
    """CGCNN's convolution, with the weighted mean over the bonds of a site in place of the sum.

    The last column of the bonds' features is the weight.
    """

    @override
    def message(self, x_i: Tensor, x_j: Tensor, edge_attr: Tensor) -> Tensor:
        z = torch.cat([x_i, x_j, edge_attr[:, :-1]], dim=-1)
        passed: Tensor = self.lin_f(z).sigmoid() * functional.softplus(self.lin_s(z)) * edge_attr[:, -1:]
        return passed


class CrystalNetwork(nn.Module):
    """From graphs to what each site says; the mean over sites is what is said of the crystal.

    Parameters
    ----------
    width
        Numbers per node.
    n_convolutions
        How many bonds far a site sees.
    radius
        Longest bond that there can be, Å.
    dropout
        Share of a site's numbers that are left out in training before its contribution is read.
    """

    elements: Tensor
    gaussians: Tensor

    def __init__(self, *, width: int, n_convolutions: int, radius: float, dropout: float) -> None:
        super().__init__()
        # kept with the weights: those of training, whatever the tables say by then
        self.register_buffer("elements", torch.tensor(element_features()))
        self.register_buffer("gaussians", torch.arange(0.0, radius + GAUSSIAN_STEP / 2, GAUSSIAN_STEP))
        self.embedding = nn.Linear(self.elements.shape[1], width)
        self.convolutions = nn.ModuleList(
            ShellConvolution(width, dim=len(self.gaussians), aggr="add") for _ in range(n_convolutions)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n_convolutions))
        self.hidden = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.read = nn.Linear(width, N_OUTPUTS)
        nn.init.zeros_(self.read.bias)
        nn.init.normal_(self.read.weight, std=0.1 / width**0.5)

    def per_node(self, batch: GraphBatch) -> Tensor:
        """Say what each node adds for its sites, shape (n_nodes, 2)."""
        lengths = torch.exp(-(((batch.distances[:, None] - self.gaussians) / GAUSSIAN_STEP) ** 2))
        bonds = torch.cat([lengths, batch.weights[:, None]], dim=1)
        nodes = self.embedding(self.elements[batch.numbers])
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            nodes = norm(convolution(nodes, batch.edges, bonds))
        hidden = functional.silu(self.hidden(functional.silu(nodes)))
        said: Tensor = self.read(self.dropout(hidden))
        return said

    @override
    def forward(self, batch: GraphBatch) -> Tensor:
        """Mean over the sites of each crystal, shape (n_crystals, 2)."""
        said = self.per_node(batch) * batch.shares[:, None]
        sums = torch.zeros(batch.n_crystals, N_OUTPUTS, dtype=said.dtype, device=said.device)
        return sums.index_add(0, batch.owners, said)
