"""What building a live broker needs, and who never gets it: a backfill, a replay, a run of many sessions.

Being refused here is no setting: whoever repeats the past has nothing that could reach the market. That a
live order row stands in no other lane the journal's schema holds as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resources.setting_names import Profile
from trading.errors import Refused
from trading.preflight import REDUCING_LEFT, REMEDIES, Denial

REPEATING_TAGS = (
    "dagster/backfill",
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
    "trading/replay",
)
"""The tags of runs that repeat the past; Dagster sets the first three, and a retried run keeps them."""


class LiveRefused(Refused):
    """Refuse a live broker: to a run that repeats the past, or for what preflight denies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCapability:
    """Be what a live broker is built with; made by `live_capability` alone.

    `only_reduces` says why nothing that adds risk may be sent with it, empty where it may.
    """

    lane: str
    only_reduces: str = ""


def live_capability(
    *, lane: str, run_tags: Mapping[str, str], denied: Sequence[Denial] = ()
) -> LiveCapability:
    """Return what a live broker is built with; raises `LiveRefused` where there may be none.

    `denied` is what preflight found: nothing of it may be left but what only holds back what adds risk,
    since who may not trade anew has still to be able to get out.
    """
    if lane != Profile.LIVE.value:
        raise LiveRefused(f"lane {lane}: has no live broker; only {Profile.LIVE.value} has")
    repeating = [tag for tag in REPEATING_TAGS if tag in run_tags]
    if repeating:
        raise LiveRefused(
            f"run tagged {', '.join(repeating)}: it repeats the past, and gets no live broker; "
            "execute the open session by a run of its own"
        )
    told = "; ".join(f"{denial}: {REMEDIES[denial]}" for denial in denied)
    if not REDUCING_LEFT.issuperset(denied):
        raise LiveRefused(f"preflight denies live execution: {told}")
    return LiveCapability(lane=lane, only_reduces=told)
