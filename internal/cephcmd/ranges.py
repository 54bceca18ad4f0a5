"""Reads ranges of a snapshot of a block image. Gets one argument, a JSON object {"conf": PATH or "", "id": CLIENT, "timeout":
SECONDS, "pool", "image", "snapshot", "at_once": READS}, or none, to find out whether it could. Opens the snapshot, reads
from stdin a JSON list of [OFFSET, LENGTH], and writes the bytes of each, one after the other.

The image is opened for reading only, so that nobody who wants to remove it meets a watcher.
"""
import collections
import concurrent.futures
import errno
import json
import sys

try:
    import rados
    import rbd
except ImportError as e:
    sys.stderr.write("%s, for %s\n" % (e, sys.executable))
    sys.exit(127)

FAULTS = (rados.Error, rbd.Error)


def answer(image, at_once, out):
    ranges = sys.stdin.read()
    if not ranges:
        return  # nothing was wanted after all
    ahead = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(at_once) as workers:
        for at, length in json.loads(ranges):
            ahead.append(workers.submit(image.read, at, length))
            if len(ahead) > at_once:
                out.write(ahead.popleft().result())
        for read in ahead:
            out.write(read.result())
    out.flush()


def main():
    asked = json.loads(sys.argv[1])
    patience = str(asked["timeout"])
    conf = {"client_mount_timeout": patience, "rados_mon_op_timeout": patience}
    try:
        with rados.Rados(conffile=asked["conf"], rados_id=asked["id"], conf=conf) as cluster:
            with cluster.open_ioctx(asked["pool"]) as io:
                with rbd.Image(io, asked["image"], snapshot=asked["snapshot"], read_only=True) as image:
                    answer(image, asked["at_once"], sys.stdout.buffer)
    except FAULTS as e:
        sys.stderr.write("%s\n" % e)
        sys.exit(abs(getattr(e, "errno", None) or errno.EIO))


if len(sys.argv) > 1:
    main()
