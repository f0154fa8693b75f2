"""What a network is trained to do: one file a task, pretext or downstream."""
