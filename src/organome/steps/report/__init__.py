"""Tables of the cohort -> pages to look at it, and ratings that come back."""
