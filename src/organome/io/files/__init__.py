"""Files and folders whatever is in them: atomic writes, identity, archives, packs."""
