"""The operations, in a module for each subject."""
