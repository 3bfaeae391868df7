"""A strict stand-in for Alibaba Cloud OSS, as a program of its own: see server.py.

Modules: request (what arrives), sign_v1 and sign_v4 (signatures), auth (which of them),
errors (OSS's error documents), blobs, objects and multipart (the store), intake (what a request
brings), answers (what goes back), operations (which request does what), body and server (HTTP).
"""
