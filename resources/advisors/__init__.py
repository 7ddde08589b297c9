"""Advisors: who asks a model, who plays one in tests, and who reads the record instead."""
