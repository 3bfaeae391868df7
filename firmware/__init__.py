"""A cloud camera for the ESP32-P4: motion, clip, queue, upload, proof, delete."""

VERSION = "0.1.0"
