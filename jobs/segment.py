"""Segment scenes as a Ray job: the same arguments as `geoseg segment`.

    ray job submit --working-dir . -- python jobs/segment.py SCENE... --model BUNDLE --output DIR

`ray job submit` itself exits with 1 whatever went wrong; the real code and the reasons stand in
``<output>/runs/<run_id>/report.json`` and in the job's log.
"""

import sys

from geoseg.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "segment")
    main()
