"""The views of the pages, a module for each subject."""
