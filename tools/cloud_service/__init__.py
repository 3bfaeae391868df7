"""The cloud's side of an upload: answers cameras' MQTT requests with presigned URLs.

config.py    the TOML file, checked
handlers.py  pure core: a request's bytes in, the reply's bytes out
presign.py   signs a PUT for S3 and its like, or for Alibaba OSS; offline
service.py   the asyncio shell around the core: MQTT in and out, reconnecting
log.py       one JSON object per line
"""
