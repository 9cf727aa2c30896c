"""Image + labelmap -> small pictures to judge a scan by, made while the images are at hand."""
