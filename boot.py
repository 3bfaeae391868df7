# Runs first on every start; nothing here can fail.
import gc

import micropython

micropython.alloc_emergency_exception_buf(256)
# Collect often while the firmware is loaded: code and buffers then lie close together, and what
# remains of the heap is in one piece. The camera lifts this once it is built.
gc.threshold(16384)
