"""Python's kubernetes with a command line like kubectl's: --server=URL VERB [-i] [-t] POD [:PORT] [-- COMMAND]."""

import fcntl
import os
import select
import signal
import socket
import struct
import sys
import termios
import threading
import tty

import yaml
from kubernetes import client
from kubernetes.stream import portforward, stream
from kubernetes.stream.ws_client import ERROR_CHANNEL, RESIZE_CHANNEL, STDERR_CHANNEL, STDOUT_CHANNEL


def arguments():
    words, command = sys.argv[1:], []
    if "--" in words:
        place = words.index("--")
        words, command = words[:place], words[place + 1 :]
    server = next(word for word in words if word.startswith("--server=")).removeprefix("--server=")
    flags = "".join(word for word in words if word[0] == "-" and word[1] != "-")
    verb, *rest = (word for word in words if word[0] != "-")
    return server, verb, rest, command, "i" in flags, "t" in flags


def session(verb, pod, command, stdin, terminal):
    connect = core.connect_get_namespaced_pod_exec if verb == "exec" else core.connect_get_namespaced_pod_attach
    asked = {"container": "main", "stdin": stdin, "stdout": True, "stderr": not terminal, "tty": terminal}
    if verb == "exec":
        asked["command"] = command
    opened = stream(connect, pod, "default", **asked, _preload_content=False, binary=True)
    before = termios.tcgetattr(0) if terminal else None
    if terminal:
        tty.setraw(0)
        signal.signal(signal.SIGWINCH, lambda *_: resize(opened))
        resize(opened)
    try:
        carry(opened, stdin)
    finally:
        if terminal:
            termios.tcsetattr(0, termios.TCSANOW, before)
    end(opened)


def resize(opened):
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))
    opened.write_channel(RESIZE_CHANNEL, b'{"Width":%d,"Height":%d}' % (columns, rows))


def carry(opened, stdin):
    """Both directions in one thread: a WSClient is for one thread only."""
    while opened.is_open():
        waiting, _, _ = select.select([opened.sock.sock] + ([0] if stdin else []), [], [])
        if 0 in waiting:
            data = os.read(0, 32768)
            if data:
                opened.write_stdin(data)
            else:
                opened.close_channel(0)
                stdin = False
        if opened.sock.sock in waiting:
            opened.update()
        for channel, descriptor in ((STDOUT_CHANNEL, 1), (STDERR_CHANNEL, 2)):
            data = opened._channels.pop(channel, b"")
            while data:
                data = data[os.write(descriptor, data) :]


def end(opened):
    error = opened.peek_channel(ERROR_CHANNEL)
    status = yaml.safe_load(error)
    try:
        code = opened.returncode
    except (KeyError, TypeError, IndexError, ValueError):
        # returncode knows statuses of an exit code only.
        sys.exit(f"error: {status['message'] if status else 'the session ended without a status'}")
    if code:
        print("command terminated with exit code", code, file=sys.stderr)
    sys.exit(code)


def forward(pod, port):
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"Forwarding from 127.0.0.1:{listener.getsockname()[1]} -> {port}", flush=True)
    while True:
        local, _ = listener.accept()
        threading.Thread(target=connection, args=(pod, port, local), daemon=True).start()


def connection(pod, port, local):
    """One connection: the library has no half-close, so this ends both directions with the pod's."""
    forwarder = portforward(core.connect_get_namespaced_pod_portforward, pod, "default", ports=str(port))
    remote = forwarder.socket(port)
    remote.setblocking(True)

    def up():
        while data := local.recv(65536):
            remote.sendall(data)

    threading.Thread(target=up, daemon=True).start()
    while data := remote.recv(65536):
        local.sendall(data)
    if forwarder.error(port):
        print("error:", forwarder.error(port), file=sys.stderr, flush=True)
    # A close alone waits for the thread that reads.
    local.shutdown(socket.SHUT_RDWR)


server, verb, rest, command, stdin, terminal = arguments()
core = client.CoreV1Api(client.ApiClient(client.Configuration(host=server)))
if verb == "port-forward":
    forward(rest[0], int(rest[1].removeprefix(":")))
else:
    session(verb, rest[0], command, stdin, terminal)
