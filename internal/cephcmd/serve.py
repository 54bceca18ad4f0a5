"""Serves a block image, read-only, over stdin and stdout: runs the qemu-nbd whose arguments it gets on a unix socket that
nobody else can reach, as it has no name any more, and passes on what client and server say to each other.
"""
import os
import shutil
import socket
import sys
import tempfile
import threading
import time

MISSING, FAILED = 127, 5
PATIENCE = 5  # seconds for qemu-nbd to end after its client


def sockets():
    """A listening socket and one that is connected to it."""
    place = tempfile.mkdtemp(prefix="holdfast.")
    try:
        name = os.path.join(place, "nbd")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(name)
        listening.listen(1)
        client = socket.socket(socket.AF_UNIX)
        client.connect(name)
        return listening, client
    finally:
        shutil.rmtree(place)


def start(listening, client, args):
    """Starts qemu-nbd with the socket, as systemd would: open as descriptor 3."""
    pid = os.fork()
    if pid:
        listening.close()
        return pid
    try:
        client.close()
        os.dup2(2, 1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(listening.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        os.execvp("qemu-nbd", ["qemu-nbd"] + args)
    except FileNotFoundError:
        sys.stderr.write("qemu-nbd: not found\n")
        sys.stderr.flush()
        os._exit(MISSING)
    except OSError as e:
        sys.stderr.write("qemu-nbd: %s\n" % e)
        sys.stderr.flush()
    os._exit(FAILED)


def ask(client):
    """Passes on what the client asks, until it has no more questions."""
    try:
        while True:
            asked = os.read(0, 1 << 16)
            if not asked:
                client.shutdown(socket.SHUT_WR)
                return
            client.sendall(asked)
    except OSError:
        pass  # the server is gone, which its status tells


def answer(client):
    try:
        while True:
            said = client.recv(1 << 20)
            if not said:
                return
            while said:
                said = said[os.write(1, said):]
    except OSError:
        pass


def status(pid):
    """How qemu-nbd ended; one that waits for another client is ended."""
    for _ in range(PATIENCE * 100):
        gone, how = os.waitpid(pid, os.WNOHANG)
        if gone:
            break
        time.sleep(0.01)
    else:
        os.kill(pid, 9)
        return FAILED
    code = os.WEXITSTATUS(how) if os.WIFEXITED(how) else FAILED
    return code if code in (0, MISSING) else FAILED


def main():
    listening, client = sockets()
    pid = start(listening, client, sys.argv[1:])
    threading.Thread(target=ask, args=(client,), daemon=True).start()
    answer(client)
    client.close()
    sys.exit(status(pid))


main()
