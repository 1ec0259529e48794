"""The applications that Defib is measured beside. Nothing else may use them."""
