"""Left and right: the midline, organs on the wrong side, bodies upside down."""
