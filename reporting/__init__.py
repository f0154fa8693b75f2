"""Pictures for people: a catalogue, a store or a run as one self-contained HTML file. Floor 3."""
