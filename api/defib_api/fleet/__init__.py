"""The fleet as this process last saw it, and the finding, sorting and paging in it."""
