"""Opens a snapshot of a block image, or with "" the image, for a program that reads it, which follows this text. Gets one argument, a JSON object {"conf":
PATH or "", "id": CLIENT, "timeout": SECONDS, "pool", "image", "snapshot"} with what else the program wants to know.

The image is opened for reading only, so that nobody who wants to remove it meets a watcher.
"""
import collections
import concurrent.futures
import errno
import json
import struct
import sys

try:
    import rados
    import rbd
except ImportError as e:
    sys.stderr.write("%s, for %s\n" % (e, sys.executable))
    sys.exit(127)

FAULTS = (rados.Error, rbd.Error)


class Another(Exception):
    """The snapshot is not what was meant."""


def open_snapshot(read):
    """Has read, a function of the image, what was asked, and where the bytes go, do its work."""
    asked = json.loads(sys.argv[1])
    patience = str(asked["timeout"])
    conf = {"client_mount_timeout": patience, "rados_mon_op_timeout": patience}
    try:
        with rados.Rados(conffile=asked["conf"], rados_id=asked["id"], conf=conf) as cluster:
            with cluster.open_ioctx(asked["pool"]) as io:
                with rbd.Image(io, asked["image"], snapshot=asked["snapshot"] or None, read_only=True) as image:
                    read(image, asked, sys.stdout.buffer)
    except Another as e:
        sys.stderr.write("%s\n" % e)
        sys.exit(errno.ESTALE)
    except FAULTS as e:
        sys.stderr.write("%s\n" % e)
        sys.exit(abs(getattr(e, "errno", None) or errno.EIO))
