"""`defib dev up`: the whole of Defib on one machine, on real parts, without containers.

Starts detached processes, remembers them in one folder, and stops exactly those again. What the
parts are and where they come from is `defib_dev.components`'s business.
"""
