"""What `workspace.yaml` names: a file that Dagster may read as often as it likes, the graph is made once."""

from resources.garbage import look_for_garbage_seldom

look_for_garbage_seldom()

from trading_assets.definitions import defs  # noqa: E402 - most of what would be searched is made by it

__all__ = ["defs"]
