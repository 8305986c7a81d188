"""What the commands are made of: options, a run built from them, results for people."""
