"""Science on top of a potential: sees structures and predictions, never a framework."""
