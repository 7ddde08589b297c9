"""What `workspace.yaml` names: a file that Dagster may read as often as it likes, the graph is made once."""

from trading_assets.definitions import defs

__all__ = ["defs"]
