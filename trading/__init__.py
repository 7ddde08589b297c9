"""The craft: the rules of a trading day as pure functions over plain values.

Here: what a quote, a candidate, an intent, a verdict, an order and a position are, and every rule that turns
one into the next.
Not here: Dagster, files, databases, the network, the clock, chance.  Time and chance come in as arguments.
Next door: `trading_assets` arranges these rules as a graph, `resources` talks to the outside world.
"""
