"""Asks a Ceph cluster questions over one connection. Reads from stdin a JSON object

    {"conf": PATH or "", "id": CLIENT, "timeout": SECONDS, "questions": [...]}

whose questions are {"target": "mon" or "mgr", "command": {...}}, {"pool": NAME, "patience": SECONDS} for all that is
known of the block images in a pool, where each may take that long, or {"write": POOL} for whether the client may write
in a pool, and writes to each, in order, a line of JSON {"code": ERRNO or 0, "size": N, "said": TEXT}, N bytes and a
newline. A last line {"end": COUNT} says that nothing is missing.
"""
import concurrent.futures
import errno
import json
import os
import sys


def lacking(module):
    """Ends with what the shell says of a command that is not there."""
    sys.stderr.write("%s, for %s\n" % (module, sys.executable))
    sys.exit(127)


try:
    import rados
except ImportError as e:
    lacking(e)
try:
    import rbd
    without = None
except ImportError as e:  # only questions about images need it
    rbd, without = None, e

AT_ONCE = 8
FEATURES = ("layering", "striping", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "journaling",
            "data-pool", "operations", "migrating", "non-primary")
FLAGS = ("object map invalid", "fast diff invalid")
KINDS = {0: "user", 1: "group", 2: "trash", 3: "mirror"}
FAULTS = (rados.Error, rbd.Error) if rbd else (rados.Error,)


def named(bits, names):
    return [n for i, n in enumerate(names) if bits >> i & 1]


def plain(value):
    """A value of the bindings as JSON can hold it, without what is empty in every second image."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def code(fault):
    return abs(getattr(fault, "errno", None) or errno.EIO)


def attempt(facts, name, get):
    """Adds a fact, or why it is not known."""
    try:
        facts[name] = plain(get())
    except FAULTS as e:
        if code(e) == errno.ETIMEDOUT:
            raise
        if code(e) in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENOSYS):
            facts[name] = None
        else:
            facts.setdefault("unknown", {})[name] = {"code": code(e), "said": str(e)}


def snapshots(image):
    found = []
    for s in image.list_snaps():
        s["namespace"] = KINDS.get(s["namespace"], s["namespace"])
        if s["namespace"] == "user":
            s["protected"] = image.is_protected_snap(s["name"])
        s["created"] = str(image.get_snap_timestamp(s["id"]))
        found.append(s)
    return found


def parent(image):
    try:
        p = image.get_parent_image_spec()
    except rbd.ImageNotFound:
        return None
    return {"pool": p["pool_name"], "pool_namespace": p["pool_namespace"], "image": p["image_name"],
            "snapshot": p["snap_name"], "overlap": image.overlap()}


def image_facts(io, name):
    with rbd.Image(io, name, read_only=True) as image:
        stat = image.stat()
        facts = {
            "name": name, "id": image.id(), "size": stat["size"], "order": stat["order"],
            "prefix": plain(stat["block_name_prefix"]), "features": named(image.features(), FEATURES),
            "created": str(image.create_timestamp()), "stripe_unit": image.stripe_unit(),
            "stripe_count": image.stripe_count(),
        }
        attempt(facts, "flags", lambda: named(image.flags(), FLAGS))
        if "data-pool" in facts["features"]:
            attempt(facts, "data_pool_id", image.data_pool_id)
        attempt(facts, "parent", lambda: parent(image))
        attempt(facts, "metadata", lambda: dict(image.metadata_list()))
        facts["snapshots"] = plain(snapshots(image))
        if facts["snapshots"]:
            attempt(facts, "children", lambda: list(image.list_children2()))
        return facts


def image(io, name):
    try:
        return image_facts(io, name)
    except rbd.ImageNotFound:
        return None  # it went while we looked
    except FAULTS as e:
        if code(e) == errno.ETIMEDOUT:
            raise
        return {"name": name, "unknown": {"image": {"code": code(e), "said": str(e)}}}


given_up = []  # images that a thread still waits for


def images(io, names, patience):
    """Facts of images, asked side by side. Ceph opens an image without end whose migration was half prepared: such a one
    is given up, and when there are as many as threads, so is all that none of them has begun."""
    threads = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
    asked = [(n, threads.submit(image, io, n)) for n in names]
    found, stuck = [], []
    try:
        for name, facts in asked:
            try:
                found.append(facts.result(patience if len(stuck) < AT_ONCE else 0))
            except concurrent.futures.TimeoutError:
                stuck.append(name)
                said = "no answer within %d seconds" % patience
                found.append({"name": name, "unknown": {"image": {"code": errno.ETIMEDOUT, "said": said}}})
    finally:
        given_up.extend(stuck)
        for _, facts in asked:
            facts.cancel()
        threads.shutdown(wait=not stuck)
    return [f for f in found if f]


def leave(status):
    """Ends, also when a thread never will."""
    if given_up:
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def namespace_facts(cluster, pool, namespace, patience):
    with cluster.open_ioctx(pool) as io:
        io.set_namespace(namespace)
        r = rbd.RBD()
        facts = {"namespace": namespace}
        # One whose removal was cut short can have a successor of its name.
        facts["images"] = images(io, sorted(set(r.list(io))), patience)
        attempt(facts, "trash", lambda: sorted(r.trash_list(io), key=lambda t: t["id"]))
        attempt(facts, "groups", lambda: sorted(r.group_list(io)))
        return facts


def pool_facts(cluster, pool, patience):
    with cluster.open_ioctx(pool) as io:
        r = rbd.RBD()
        facts = {"pool": pool}
        r.list(io)  # what fails here is no fact of the pool: the client may not read it
        attempt(facts, "namespaces", lambda: sorted(r.namespace_list(io)))
        attempt(facts, "metadata", lambda: dict(r.pool_metadata_list(io)))
        attempt(facts, "mirror_mode", lambda: ["disabled", "image", "pool"][r.mirror_mode_get(io)])
    spaces = [""] + (facts.get("namespaces") or [])
    facts["contents"] = [namespace_facts(cluster, pool, n, patience) for n in spaces]
    return facts


def try_write(cluster, pool):
    """Removes what is not there."""
    with cluster.open_ioctx(pool) as io:
        try:
            io.remove_object("holdfast.doctor.asks")
        except rados.ObjectNotFound:
            pass


def ask(cluster, question):
    if "write" in question:
        try_write(cluster, question["write"])
        return 0, b"", ""
    if "pool" in question:
        if without:
            lacking(without)
        facts = pool_facts(cluster, question["pool"], question["patience"])
        return 0, json.dumps(facts, sort_keys=True).encode(), ""
    command = cluster.mgr_command if question["target"] == "mgr" else cluster.mon_command
    failed, out, said = command(json.dumps(question["command"]), b"")
    return abs(failed), out or b"", plain(said or "")


def answer(cluster, question, silent):
    """An answer; who did not answer once is not asked again, and without monitors there is no point in going on."""
    target = question.get("target", "osd")
    failed, body, said = errno.ETIMEDOUT, b"", "no answer to an earlier question"
    if target not in silent:
        try:
            failed, body, said = ask(cluster, question)
        except FAULTS as e:
            failed, said = code(e), str(e)
    if failed == errno.ETIMEDOUT:
        silent.add(target)
    if "mon" in silent:
        sys.stderr.write("the monitors do not answer any more\n")
        leave(errno.ETIMEDOUT)
    return failed, body, said


def main():
    asked = json.load(sys.stdin)
    patience = str(asked["timeout"])
    conf = {k: patience for k in ("client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout")}
    out = sys.stdout.buffer
    try:
        cluster = rados.Rados(conffile=asked["conf"], rados_id=asked["id"], conf=conf)
        cluster.connect()
    except FAULTS as e:
        sys.stderr.write("%s\n" % e)
        sys.exit(code(e))
    silent = set()
    for question in asked["questions"]:
        failed, body, said = answer(cluster, question, silent)
        head = {"code": failed, "size": len(body), "said": said}
        out.write(json.dumps(head).encode() + b"\n" + body + b"\n")
        out.flush()
    out.write(json.dumps({"end": len(asked["questions"])}).encode() + b"\n")
    out.flush()
    if not given_up:
        cluster.shutdown()
    leave(0)


main()
