"""`defib doctor`: asks every part that Defib needs, and says what to do about each that is ill.

A module for each part gathers facts and judges them; nothing here changes anything.
"""
