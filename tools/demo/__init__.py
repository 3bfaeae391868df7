"""`make demo`: the camera's main job from the PIR's signal to a verified object in the store."""
