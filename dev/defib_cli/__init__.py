"""The command line program: one thin file per command group, nothing but parsing and printing."""
