"""Tables of the cohort -> what is odd, what is usual by sex, age and height, and what changed."""
