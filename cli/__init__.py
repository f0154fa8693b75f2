"""The commands: parse, call, print. Floor 4; nobody imports it, and it imports no torch at start."""
