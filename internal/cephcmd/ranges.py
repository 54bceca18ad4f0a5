"""Reads ranges of a snapshot. Is asked beside the rest with "at_once": READS; without an argument nothing is read, to find out
whether it could. Once the snapshot is open, reads from stdin a JSON list of [OFFSET, LENGTH], and writes the bytes of each, one after
the other.
"""


def answer(image, asked, out):
    ranges = sys.stdin.read()
    if not ranges:
        return  # nothing was wanted after all
    ahead, at_once = collections.deque(), asked["at_once"]
    with concurrent.futures.ThreadPoolExecutor(at_once) as workers:
        for at, length in json.loads(ranges):
            ahead.append(workers.submit(image.read, at, length))
            if len(ahead) > at_once:
                out.write(ahead.popleft().result())
        for read in ahead:
            out.write(read.result())
    out.flush()


if len(sys.argv) > 1:
    open_snapshot(answer)
