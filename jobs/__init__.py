"""What runs: the jobs, the ops that execute, and the backfill policies.

Here: selections of the graph with a name, and what may run at once.
Not here: when they start (`sensors`), what they compute (`trading_assets.stages`, `trading`).
"""
