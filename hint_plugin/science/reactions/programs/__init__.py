"""Programs that run beside HINT, in processes of their own: started by their path, imported by nobody."""
