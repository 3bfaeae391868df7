"""Host side tools: ordinary CPython, never on the device."""
