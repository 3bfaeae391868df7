"""The cloud's side of uploads: presigned URLs for cameras, and proof that what they sent is there.

The pure core decides and does no IO; presigners and the store are given to it:
    handlers.py   a message's bytes in, the reply's bytes out
    messages.py   what cameras send, checked
    grants.py     answers to requests
    completes.py  answers to `complete`
    plan.py       the arithmetic of parts
    slots.py      uploads a device has in hand
    store.py      what is asked of a store, and its errors

Stores:
    presign.py    signs for S3 and its like, or for Alibaba OSS; offline; with s3_sign.py, oss_append.py
    s3_store.py   calls of S3 and its like; oss_store.py: of OSS; clients.py: their SDKs' clients
    backend.py    chooses among them

The shell:
    config.py     the TOML file, checked
    service.py    MQTT in and out, reconnecting
    http_api.py   the same over HTTP, metrics and health
    threads.py    calls that block, in threads
    read_back.py  objects read for their MD5, in others
    cleanup.py    aborts uploads that nobody goes on with
    metrics.py    what is counted
    log.py        one JSON object per line
"""
