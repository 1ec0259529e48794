"""The policy simulator: the production code on a virtual clock; see docs/scenarios.md.

Only time, transport and guests are simulated. Nothing here decides what happens to a VM.
"""
