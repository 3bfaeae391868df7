import _startup

_startup.run(globals())
