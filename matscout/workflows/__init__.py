"""The verbs: enumeration, calculations, stability, campaigns, and where they run."""

from typing import TYPE_CHECKING

from matscout.late import late_names

if TYPE_CHECKING:
    from matscout.workflows.campaign.flow import ScreeningMaker
    from matscout.workflows.campaign.loop import Campaign
    from matscout.workflows.campaign.spec import CampaignSpec

__all__ = ["Campaign", "CampaignSpec", "ScreeningMaker"]

__getattr__ = late_names(
    __name__,
    {"Campaign": "campaign.loop", "CampaignSpec": "campaign.spec", "ScreeningMaker": "campaign.flow"},
)
