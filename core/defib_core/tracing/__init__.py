"""Traces, for whoever sets DEFIB_TRACING_URL. Nothing depends on them or waits for them."""
