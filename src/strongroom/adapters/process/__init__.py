"""BPMN: the bank's own diagram, run with nothing in it that could run code."""
