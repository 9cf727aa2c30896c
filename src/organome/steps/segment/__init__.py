"""Images -> labelmaps of the organs, by a model or from labelmaps that exist."""
