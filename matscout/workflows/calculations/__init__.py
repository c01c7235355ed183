"""Calculations: protocols, and the stage that runs one."""

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.workflows.calculations.protocols import Protocol, get_protocol, list_protocols
    from matscout.workflows.calculations.run import calculate

__all__ = ["Protocol", "calculate", "get_protocol", "list_protocols"]

__getattr__ = late_names(
    __name__, {"Protocol": "protocols", "calculate": "run", "get_protocol": "protocols", "list_protocols": "protocols"}
)
