"""The way of a heartbeat, from the socket to the commit. Never touches Redis."""
