"""What is made of the Helm chart's values.yaml, and the chart's copy of the definitions."""
