"""What the doctor looks at: software, folders, the cluster, a node of it."""
