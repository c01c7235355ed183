"""A calculation as FireWorks' own launcher would run it: what a Firework of ours holds.

Our launcher on the nodes needs no LaunchPad and does not use it; on a LaunchPad in MongoDB, ``rlaunch`` can run such a
Firework as any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize


@explicit_serialize
class CalculationTask(FiretaskBase):  # type: ignore[misc]  # fireworks has no types
    """Run the calculation that a Firework's spec holds, in the working directory."""

    def run_task(self, fw_spec: dict[str, Any]) -> Any:
        """Calculate; a failure is stored as data, and the Firework counts as completed then, too."""
        from matscout.db.documents import CalculationRequest
        from matscout.workflows.calculations.run import calculate

        result = calculate(CalculationRequest.model_validate(fw_spec["request"]), Path.cwd())
        return FWAction(stored_data={"result": result.model_dump(mode="json")})
