"""Orchestration with Prefect: order, retries, concurrency, schedule, artifacts; no logic.

What is done to a recording lives in ``fer_core.pipeline`` and runs without Prefect, too.
"""
