"""Server-Sent Events: what changed in the fleet, told to who listens."""
