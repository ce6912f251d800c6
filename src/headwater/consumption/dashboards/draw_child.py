"""What runs in the process that draws: a request on its standard input, a line of JSON for each chart on its output.

The file is run by itself, without Headwater: it knows the standard library and vl_convert.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Draw the charts of one request, in order; each line is `{"svg": …}` or `{"problem": …}`."""
    request = json.load(sys.stdin.buffer)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    sys.path.append(request["library"])
    import vl_convert

    for spec in request["specs"]:
        try:
            svg = vl_convert.vegalite_to_svg(spec, config=request["config"], allowed_base_urls=[])
            answer = {"svg": svg}
            if len(svg) > request["limit"]:
                answer = {"problem": f"the drawing has {len(svg):,} characters; {request['limit']:,} are the most"}
        except (ValueError, TypeError, RuntimeError, OSError) as error:
            answer = {"problem": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
