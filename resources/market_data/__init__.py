"""Sources of daily bars and corporate actions: two in the box, and a folder of the user's own files.

Each gives raw rows as text (port `MarketData` in trading/quotes.py). Judging them is trading/quality.py.
"""
