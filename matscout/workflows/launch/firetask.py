"""What a Firework of ours holds: its calculation as a task of FireWorks, so that ``lpad`` can read and show it.

Our launcher on the nodes runs the calculation without it. Who starts ``rlaunch`` on such a LaunchPad, against the
advice of the docs, gets the result into the LaunchPad alone and not into the store.
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
