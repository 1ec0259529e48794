"""The dashboard's API and the probes: thin, one module for each thing they show."""
