"""The paper broker served over Alpaca's protocol: Trading API v2, Market Data v2 the order stream.

One engine, two doors: what is decided about an order is resources/paper_broker/, on the same ledger.
"""
