"""The rules: states, policy, observation, decision. Standard library only, no clock, no I/O."""
