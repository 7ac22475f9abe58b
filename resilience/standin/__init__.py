"""A stand-in Smalltalk image: one single-threaded REP loop speaking both wire dialects.

It is what the rest of this project is tested against, and it is written to be read by people who build
the ZeroMQ side of a real image. Everything an image owes its clients is here, in plain Python:

- `dialects`: bytes from outside become a `Request` or a refusal, never an exception that wedges the socket;
- `image`: what is asked gets done, and everything that was executed is counted;
- `memory`: what survives a restart, and only what was saved does;
- `smalltalk`, `objects`: a very small language, so that a reply proves an evaluation took place;
- `serve`: the socket, the save that closes and re-opens it, signals.

`python -m resilience.standin --help` tells how to start one; in a test or a program,
`with running(ImageServer(Image(wait=bell.wait), "tcp://127.0.0.1:0", bell)) as endpoint`, all from `serve`
but the `Image`.

Only the standard library and pyzmq are used, so this folder can be copied next to any image and run there.
"""
