"""What starts it: schedules in exchange time, and sensors that sweep up what has no run yet.

Here: the decision whether to start a job, with a key that makes a second tick harmless.
Not here: what a job does (`jobs`), nor how an asset computes (`trading_assets.stages`).
"""
