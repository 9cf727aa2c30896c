"""Stand-ins for what is slow or faulty on purpose."""
