"""What ``make_phantoms`` does for one visit: draw, render, deliver, and note what is true."""
