"""A network over the sites of a crystal and the bonds between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from typing_extensions import override

from matscout.models.inputs import CrystalInputs, as_inputs
from matscout.models.networks.graphs import graphs_of
from matscout.models.networks.network_surrogate import NetworkSurrogate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matscout.models.inputs import InputKind
    from matscout.models.networks.crystal_layers import CrystalNetwork, GraphRows
    from matscout.models.networks.outputs import Rows


@dataclass(kw_only=True)
class CrystalGraph(NetworkSurrogate):
    """Convolutions over the graph of a crystal, in the manner of CGCNN, on candidates that are not relaxed.

    Xie, Grossman, Phys. Rev. Lett. 120, 145301 (2018), doi:10.1103/PhysRevLett.120.145301, by torch_geometric's
    ``CGConv``. A site begins with properties of its element; each convolution adds what its nearest neighbours and the
    lengths of the bonds to them say. Then each site contributes a number, and the mean over sites is the prediction.
    Unlike there, elements begin with Magpie's properties, neighbours are averaged rather than summed, whole shells of
    them are taken, and layers are normalised without regard to the other rows of a batch.

    How a crystal is turned, shifted, numbered or its cell chosen makes no difference, and a supercell costs no more
    than its cell: see `matscout.models.networks.graphs`.

    Parameters
    ----------
    width
        Numbers that describe a site.
    n_convolutions
        How many bonds far a site sees.
    n_neighbours
        Nearest neighbours of a site, and all that are as far as the last of them.
    radius
        How far away a neighbour may be, Å.
    dropout
        Share of a site's numbers that are left out in training.
    """

    name: ClassVar[str] = "crystal_graph"
    takes: ClassVar[InputKind] = "crystals"
    packages: ClassVar[tuple[str, ...]] = ("torch", "torch_geometric")

    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 5e-3
    width: int = 48
    n_convolutions: int = 3
    n_neighbours: int = 12
    radius: float = 8.0
    dropout: float = 0.0

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "n_convolutions", "n_neighbours"):
            self.check_number(name, getattr(self, name), 1, integer=True)
        self.check_number("radius", self.radius, 2.0, 12.0)
        self.check_number("dropout", self.dropout, 0, 0.9)

    def site_contributions(self, X: Any) -> list[NDArray[np.float64]]:
        """Tell what each site adds to the prediction.

        Parameters
        ----------
        X
            Crystals, as `predict` takes them.

        Returns
        -------
        Of each crystal an array of shape (n_sites,), in the order of its sites, whose mean is the predicted mean; in a
        classification its mean is the mean over the ensemble's networks of the logit, log(p / (1 - p)).
        """
        if self._training is None:
            raise RuntimeError("fit the surrogate before it explains")
        inputs = cast("CrystalInputs", as_inputs(self.takes, X))
        rows = self._rows(inputs)
        contributions = self._contributions(rows)
        if self.task == "classification":
            return contributions
        # single precision leaves a last digit between the sites' mean and the prediction
        exact = self.predict(inputs).mean.tolist()
        return [of_sites + (mean - of_sites.mean()) for of_sites, mean in zip(contributions, exact, strict=True)]

    def _contributions(self, rows: GraphRows) -> list[NDArray[np.float64]]:
        """Mean over members of what each site says, in the unit of the target."""
        import torch

        from matscout.models.networks.training import chosen_device, reproducible

        device = chosen_device(self.device)
        found = []
        with reproducible(self.n_threads), torch.inference_mode():
            for row, graph in enumerate(rows.graphs):
                batch = rows.batch(np.array([row]), device)
                said = [cast("CrystalNetwork", one).to(device).per_node(batch)[:, 0].cpu() for one in self._members]
                of_nodes = torch.stack(said).double().mean(dim=0).numpy()
                found.append(self._centre + self._spread * of_nodes[graph.node_of_site])
        return found

    @override
    def _rows(self, inputs: CrystalInputs) -> GraphRows:
        from matscout.models.networks.crystal_layers import GraphRows

        return GraphRows(graphs_of(inputs.crystals(), n_neighbours=self.n_neighbours, radius=self.radius))

    @override
    def _network(self, rows: Rows | None) -> CrystalNetwork:
        from matscout.models.networks.crystal_layers import CrystalNetwork

        return CrystalNetwork(
            width=self.width, n_convolutions=self.n_convolutions, radius=self.radius, dropout=self.dropout
        )
