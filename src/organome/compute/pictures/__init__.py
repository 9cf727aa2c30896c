"""Pictures of a scan: planes and an overview, contours of organs over the image."""
