"""The stages: one file an asset with its checks, in the order in which a quote becomes an alert.

Here: assets that take inputs, call one pure function of `trading` and give back a value with its metadata.
Not here: an `if` about trading, an adapter, another stage.  Stages meet only as inputs in the graph.
"""
