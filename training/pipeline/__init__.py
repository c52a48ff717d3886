"""The stages of one run in order, its configuration and its working folder."""
