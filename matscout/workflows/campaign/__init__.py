"""Campaigns: description, stages, the Flow and the loop that run them."""

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.workflows.campaign.flow import ScreeningMaker
    from matscout.workflows.campaign.loop import Campaign
    from matscout.workflows.campaign.spec import CampaignSpec

__all__ = ["Campaign", "CampaignSpec", "ScreeningMaker"]

__getattr__ = late_names(__name__, {"Campaign": "loop", "CampaignSpec": "spec", "ScreeningMaker": "flow"})
