"""Images as data: moments seen by several cameras, as crops around a person."""
