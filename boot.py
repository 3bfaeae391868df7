# Runs first on every start; nothing here can fail.
import micropython

micropython.alloc_emergency_exception_buf(256)
