"""What is particular to one biobank: names and headers in, decisions out; pure."""
