"""A network over the elements of a composition: what they are, how much of each, and what each pair makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from typing_extensions import override

from matscout.errors import UserError
from matscout.models.networks.network_surrogate import NetworkSurrogate

if TYPE_CHECKING:
    from matscout.models.inputs import CompositionInputs, InputKind
    from matscout.models.networks.composition_layers import CompositionModule, CompositionRows
    from matscout.models.networks.outputs import Rows


@dataclass(kw_only=True)
class CompositionNetwork(NetworkSurrogate):
    """Attention between the elements of a composition, in the manner of Roost and CrabNet, small enough for one core.

    An element begins as a learnt vector with its properties (Magpie's, ionic radius, ionization energy, electron
    affinity, polarizability, oxidation states) and its fraction. Layers of attention between all pairs change it; a
    weighted mean over the elements, joined by Magpie's statistics of the composition, goes through dense layers. The
    order of the elements in a formula, and its multiples, make no difference.

    Goodall, Lee, Nat. Commun. 11, 6280 (2020), doi:10.1038/s41467-020-19964-7; Wang et al., npj Comput. Mater. 7, 77
    (2021), doi:10.1038/s41524-021-00545-1.

    Parameters
    ----------
    width
        Numbers that describe an element, a multiple of `n_heads`.
    n_layers, n_heads
        Layers of attention, and heads of each.
    dropout
        Part of what a layer adds that is left out in training.
    """

    name: ClassVar[str] = "composition_network"
    takes: ClassVar[InputKind] = "compositions"

    width: int = 128
    n_layers: int = 2
    n_heads: int = 4
    dropout: float = 0.0

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "n_layers", "n_heads"):
            self.check_number(name, getattr(self, name), 1, integer=True)
        self.check_number("dropout", self.dropout, 0, 0.9)
        if self.width % self.n_heads:
            raise UserError(f"option width must be a multiple of n_heads ({self.n_heads}), got {self.width}")

    @override
    def _rows(self, inputs: CompositionInputs) -> CompositionRows:
        from matscout.models.networks.composition_layers import CompositionRows, element_properties

        if not self._members:
            return CompositionRows(inputs, element_properties())
        # those of training, whatever the tables say by now
        return CompositionRows(inputs, cast("CompositionModule", self._members[0]).properties.cpu().numpy())

    @override
    def _network(self, rows: Rows | None) -> CompositionModule:
        from matscout.models.networks.composition_layers import CompositionModule, element_properties

        return CompositionModule(
            element_properties(),
            None if rows is None else cast("CompositionRows", rows).statistics,
            width=self.width,
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            dropout=self.dropout,
        )
