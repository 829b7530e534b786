"""Hessian labels: what they are, how they are written, whether they obey physics, of which level they are."""
