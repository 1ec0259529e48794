"""What enters from outside: the custom resources' specs, and the settings of each process."""
