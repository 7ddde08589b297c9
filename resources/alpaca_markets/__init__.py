"""The adapter of Alpaca: its Trading API v2 as a broker, its Market Data v2 as bars and live quotes."""
