"""From a model and audio to words with their times, and how far they are from what was said."""
