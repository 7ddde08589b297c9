"""The outside: journal, lake, brokers, market data, notifier, clock and settings.

Here: one adapter a file, each obeying a port that stands in `trading` beside the noun that needs it.
Not here: rules of trading, assets.  Who uses which adapter is said in `trading_assets.definitions`.
"""
