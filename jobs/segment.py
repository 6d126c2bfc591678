"""Segment scenes as a Ray job: the same arguments as `geoseg segment`.

    ray job submit --address http://HEAD:8265 -- python /opt/geoseg/jobs/segment.py SCENE... --model BUNDLE --output DIR

All paths are absolute: they are those of the nodes, and a job does not start in the folder that it is submitted from.
`ray job submit` itself exits with 1 whatever went wrong; the real code and the reasons stand in
``<output>/runs/<run_id>/report.json`` and in the job's log.
"""

import sys

from geoseg.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "segment")
    main()
