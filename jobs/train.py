"""Train a network as a Ray job: the same arguments as `geoseg train`.

    ray job submit --address http://HEAD:8265 -- python /opt/geoseg/jobs/train.py --config FILE --address auto

All paths, also those in FILE, are absolute paths on the nodes, and every node sees the output. `ray job submit` exits
with 1 for every error; the error is in the job's log. The same job again goes on from the last checkpoint.
"""

import sys

from geoseg.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
