"""meshlog: turns Envoy access logs into typed Parquet, and the Parquet into answers."""

__version__ = "0.1.0"
