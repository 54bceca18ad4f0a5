"""Streams what a snapshot of a clone holds beside its parent, as rbd export-diff would without what is the parent's. Is asked
beside the rest with "parent": {"id": ID, "snapshot": NAME, "overlap": BYTES} and "at_once": READS. Ends with ESTALE when the snapshot
is not of such a clone, or its object map is not known to be right.
"""
LARGEST = 4 << 20  # bytes of one record


def check(image, parent):
    if image.flags():
        raise Another("its object map is not known to be right")
    try:
        snapshot = image.get_parent_image_spec()["snap_name"]
    except rbd.ImageNotFound:
        raise Another("it has no parent")
    found = {"id": image.parent_id(), "snapshot": snapshot, "overlap": image.overlap()}
    if found != parent:
        raise Another("it is a clone of %s" % found)


def own(image):
    """The ranges that hold objects of its own, by its object map: what is not there is the parent's, and what was discarded is."""
    found = []
    image.diff_iterate(0, image.size(), None, lambda at, length, exists: found.append((at, length)),
                       include_parent=False, whole_object=True)
    for at, length in sorted(found):
        end = at + length
        while at < end:
            yield at, min(LARGEST, end - at)
            at += LARGEST


def record(at, length, data):
    if data.count(0) == length:
        return struct.pack("<cQQ", b"z", at, length)
    return struct.pack("<cQQ", b"w", at, length) + data


def stream(image, asked, out):
    name = asked["snapshot"].encode()
    out.write(b"rbd diff v1\n" + struct.pack("<cI", b"t", len(name)) + name + struct.pack("<cQ", b"s", image.size()))
    with concurrent.futures.ThreadPoolExecutor(asked["at_once"]) as workers:
        ahead = collections.deque()

        def write():
            at, length, data = ahead.popleft()
            out.write(record(at, length, data.result()))

        for at, length in own(image):
            ahead.append((at, length, workers.submit(image.read, at, length)))
            if len(ahead) > asked["at_once"]:
                write()
        while ahead:
            write()
    out.write(b"e")
    out.flush()


open_snapshot(stream)
