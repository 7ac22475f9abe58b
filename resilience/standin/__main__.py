"""`python -m resilience.standin`: start the image and serve until SIGTERM (exit 0) or SIGINT (exit 130).

argparse, where the rest of the project uses typer: this folder runs on a bare Python with pyzmq.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from resilience.standin.dialects import Speaks
from resilience.standin.image import Image
from resilience.standin.memory import StateError
from resilience.standin.serve import Bell, BindError, ImageServer, run_until_signalled


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and answer its exit status: 1 if it cannot start, 2 if it was called wrongly."""
    parser = argparse.ArgumentParser(
        prog="python -m resilience.standin", description="A stand-in Smalltalk image."
    )
    parser.add_argument(
        "--bind",
        default="tcp://127.0.0.1:5555",
        metavar="ENDPOINT",
        help="where to listen; port 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--dialect",
        type=Speaks,
        choices=list(Speaks),
        default=Speaks.BOTH,
        metavar="{a,b,both}",
        help="typed envelope (a), command style (b), or by the shape of each request (default: both)",
    )
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="keep identity and saved counter in this file"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="append one JSON line per executed request")
    options = parser.parse_args(arguments)

    try:
        bell = Bell()
        image = Image(speaks=options.dialect, state=options.state, log=options.log, wait=bell.wait)

        def ready(endpoint: str) -> None:
            sys.stdout.write(f"ready {endpoint} image {image.image_id}\n")
            sys.stdout.flush()

        return run_until_signalled(ImageServer(image, options.bind, bell), ready)
    except BindError as error:
        if error.malformed:
            parser.error(str(error))
        trouble = str(error)
    except StateError as error:
        trouble = str(error)
    except OSError as error:
        trouble = f"{error.filename}: {error.strerror}; choose another file for --state or --log"
    sys.stderr.write(f"{trouble}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
