"""The graph: a trading day as Dagster assets, from quotes to the daily report.

Here: the stages (in `trading_assets.stages`) and the one composition root (`trading_assets.definitions`).
Not here: any rule of trading (`trading`), any adapter to the outside world (`resources`).
"""
