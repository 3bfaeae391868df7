# Runs after boot.py; Ctrl-C on the console stops the camera and leaves a REPL.
from firmware.app import start

start()
