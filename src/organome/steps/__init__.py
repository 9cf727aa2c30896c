"""What is done to scans and tables: a room for each task, and none knows another."""
