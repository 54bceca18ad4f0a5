"""Carries out on a lab's Ceph cluster what it reads from stdin, a JSON list of steps, in one process: each start of the
ceph command would cost half a second. The steps are:

    {"command": {...}}      a monitor command with its arguments
    {"pool": NAME}          make a pool usable for block images
    {"health": SECONDS}     wait until the cluster is healthy
    {"images": [...]}       make block images, each {pool, name, size, parent, actions}; parent is null or
                            [pool, name, snapshot]; an action is ["write", offset, length, seed], ["discard", offset, length],
                            ["resize", size], ["snap", name], ["protect", name], ["meta", key, value], ["flatten"] or ["trash"].
                            An image's parent stands in an earlier step.
    {"change": [...]}       carry out the actions of block images that exist, each {pool, name, actions}

usage: cephlab.py CEPH_CONF
"""
import concurrent.futures
import json
import random
import sys
import time

import rados
import rbd


def command(cluster, arguments):
    code, out, said = cluster.mon_command(json.dumps(dict(arguments, format="json")), b"")
    if code < 0:
        sys.exit("%s: %s (%d)" % (arguments["prefix"], said, code))
    return json.loads(out) if out.strip() else None


def pool(cluster, name):
    with cluster.open_ioctx(name) as io:
        rbd.RBD().pool_init(io, True)


def health(cluster, patience):
    end = time.monotonic() + patience
    while True:
        now = command(cluster, {"prefix": "health", "detail": "detail"})
        if now["status"] == "HEALTH_OK":
            return
        if time.monotonic() > end:
            sys.exit("the cluster is not healthy: %s" % json.dumps(now["checks"]))
        time.sleep(0.1)


def content(length, seed):
    """Half of it as random as an encrypted disk's, half as repetitive as a log's."""
    dice = random.Random(seed)
    line = b"%016x GET /v3/auth/tokens 200 %d\n" % (dice.getrandbits(64), seed)
    return dice.randbytes(length // 2) + (line * (length // len(line) + 1))[: length - length // 2]


def create(contexts, spec):
    io = contexts[spec["pool"]]
    if spec.get("parent"):
        above, name, snap = spec["parent"]
        rbd.RBD().clone(contexts[above], name, snap, io, spec["name"], features=61)
    else:
        rbd.RBD().create(io, spec["name"], spec["size"], old_format=False, features=61)
    with rbd.Image(io, spec["name"]) as made:
        if made.size() != spec["size"]:
            made.resize(spec["size"])
    change(contexts, spec)


def change(contexts, spec):
    io = contexts[spec["pool"]]
    trash = False
    with rbd.Image(io, spec["name"]) as made:
        for verb, *rest in spec.get("actions") or []:
            if verb == "write":
                offset, length, seed = rest
                made.write(content(length, seed), offset)
            elif verb == "discard":
                made.discard(*rest)
            elif verb == "resize":
                made.resize(*rest)
            elif verb == "snap":
                made.create_snap(rest[0])
            elif verb == "protect":
                made.protect_snap(rest[0])
            elif verb == "meta":
                made.metadata_set(*rest)
            elif verb == "flatten":
                made.flatten()
            elif verb == "trash":
                trash = True
            else:
                sys.exit("there is no action %s" % verb)
    if trash:
        rbd.RBD().trash_move(io, spec["name"])


def each(cluster, specs, do):
    contexts = {}
    for spec in specs:
        for name in [spec["pool"]] + (spec.get("parent") or [])[:1]:
            if name not in contexts:
                contexts[name] = cluster.open_ioctx(name)
    with concurrent.futures.ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda spec: do(contexts, spec), specs))
    for io in contexts.values():
        io.close()


def images(cluster, specs):
    each(cluster, specs, create)


def changes(cluster, specs):
    each(cluster, specs, change)


def main():
    steps = {"command": command, "pool": pool, "health": health, "images": images, "change": changes}
    with rados.Rados(conffile=sys.argv[1], name="client.admin") as cluster:
        for step in json.load(sys.stdin):
            for verb, argument in step.items():
                steps[verb](cluster, argument)


main()
