"""Images -> the files of a biobank, defects planted."""
