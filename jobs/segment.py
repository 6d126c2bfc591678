"""Segment scenes as a Ray job: the same arguments as `geoseg segment`.

    ray job submit --address http://HEAD:8265 -- python /opt/geoseg/jobs/segment.py SCENE... --model BUNDLE --output DIR

All paths are absolute paths on the nodes: a job does not start in the folder from which it is submitted.
`ray job submit` exits with 1 for every error; the real exit code and the errors are in
``<output>/runs/<run_id>/report.json`` and in the job's log.
"""

import sys

from geoseg.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "segment")
    main()
