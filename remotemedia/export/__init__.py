"""Metrics for other systems: `prometheus` (extra ``prometheus``) and `opentelemetry` (extra ``otel``).

Neither is loaded by anything else, and what is exported is asked for only then: nothing is on the way of an item.
"""
