# SPDX-License-Identifier: Apache-2.0
"""What `rasant inspect BUNDLE SOURCE --json` does: a verdict for every frame, with nothing but `import rasant`."""

from __future__ import annotations

import json
import sys

import rasant

bundle, uri = sys.argv[1:] or ("examples/casting.rasant", "replay:examples/casting-test.mcap")
with rasant.load(bundle, threads=0) as inspector, rasant.open_source(uri) as source:
    while True:
        try:
            inspection = inspector(source.read())
        except rasant.EndOfStream:
            break
        except rasant.FrameError as error:  # a damaged frame is UNKNOWN; the next may be good
            inspection = inspector.refuse(error.index, source.uri, str(error), name=error.name)
        print(json.dumps(inspection.as_json()))
