"""Tells whether the object map of an image, or of a snapshot of it, hides that it was rolled back since one of its snapshots. Is asked
beside the rest with "since": NAME and "older": [NAME, ...], and writes true or false. Ends with ESTALE when the image has no object map
that is known to be right.

A rollback writes every object anew that differs, and gives the image the map of the snapshot that it goes back to. So of the objects
that changed between that snapshot and the one since which one asks, those that the map does not tell were written all the same. Some of
them are asked themselves.
"""
ASKED = 16  # objects for each older snapshot


def differing(image, at, since, begin, length, whole):
    image.set_snap(at)
    found = []
    image.diff_iterate(begin, length, since, lambda offset, size, exists: found.append((offset, size)), whole_object=whole)
    return found


def objects(image, at, since, unit):
    """The objects that the map says have changed."""
    image.set_snap(at)
    if image.flags() or not image.features() & rbd.RBD_FEATURE_FAST_DIFF:
        raise Another("its object map is not known to be right")
    found = differing(image, at, since, 0, image.size(), True)
    return {n for offset, size in found for n in range(offset // unit, -(-(offset + size) // unit))}


def hides(image, asked):
    at, since = asked["snapshot"] or None, asked["since"]
    unit = 1 << image.stat()["order"]
    told = objects(image, at, since, unit)
    image.set_snap(at)
    end = image.size()
    for older in asked["older"]:
        untold = sorted(n for n in objects(image, since, older, unit) - told if n * unit < end)
        for n in untold[::max(1, len(untold) // ASKED)]:
            if differing(image, at, since, n * unit, min(unit, end - n * unit), False):
                return True
    return False


open_snapshot(lambda image, asked, out: out.write(json.dumps(hides(image, asked)).encode()))
