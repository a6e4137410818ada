"""The case of a rollout by itself: a folder for somebody who was not there."""
