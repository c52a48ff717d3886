"""Property tests here have no time limit for a single example: other work may hold the cores."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
