"""Stands in for the notebooks' kernel where that cannot start: every cell says why.

python unavailable.py CONNECTION_FILE MESSAGE

It speaks as much of Jupyter's protocol (https://jupyter-client.readthedocs.io/en/latest/messaging.html) as that takes, with
the packages that Jupyter itself needs.
"""

import json
import os
import sys

import zmq
from jupyter_client.session import Session


class StandIn:
    """A kernel whose cells all fail with one message."""

    def __init__(self, connection, message):
        self.connection, self.message, self.count = connection, message, 0
        self.session = Session(key=connection["key"].encode(), signature_scheme=connection["signature_scheme"])
        self.context = zmq.Context()
        self.shell, self.control = self.bind(zmq.ROUTER, "shell"), self.bind(zmq.ROUTER, "control")
        self.iopub, self.heartbeat = self.bind(zmq.PUB, "iopub"), self.bind(zmq.REP, "hb")
        self.stdin = self.bind(zmq.ROUTER, "stdin")  # nobody is asked for input, but clients connect

    def bind(self, kind, name):
        socket = self.context.socket(kind)
        socket.linger = 1000
        between = "-" if self.connection["transport"] == "ipc" else ":"
        socket.bind(f"{self.connection['transport']}://{self.connection['ip']}{between}{self.connection[name + '_port']}")
        return socket

    def serve(self):
        """Answers until it is told to shut down, or whoever started it has ended."""
        parent = os.getppid()
        poller = zmq.Poller()
        for socket in (self.shell, self.control, self.heartbeat):
            poller.register(socket, zmq.POLLIN)
        while os.getppid() == parent:
            for socket, _ in poller.poll(1000):
                if socket is self.heartbeat:
                    socket.send(socket.recv())
                elif not self.answer(socket):
                    self.context.destroy()
                    return

    def answer(self, socket):
        """Answers one request; False when it was the last."""
        identities, request = self.session.recv(socket, mode=0)
        kind = request["msg_type"]
        if not kind.endswith("_request"):
            return True
        publish = lambda name, content: self.session.send(self.iopub, name, content, parent=request, ident=name.encode())
        publish("status", {"execution_state": "busy"})
        content = {"status": "ok"}
        if kind == "kernel_info_request":
            content |= {
                "protocol_version": "5.3",
                "implementation": "vitdecompose",
                "implementation_version": "0",
                "language_info": {"name": "go", "version": "", "mimetype": "text/x-go", "file_extension": ".go"},
                "banner": self.message,
            }
        elif kind == "execute_request":
            self.count += 1
            publish("execute_input", {"code": request["content"]["code"], "execution_count": self.count})
            error = {"ename": "No kernel", "evalue": self.message, "traceback": [self.message]}
            publish("error", error)
            content = {"status": "error", "execution_count": self.count} | error
        elif kind == "comm_info_request":
            content["comms"] = {}
        elif kind == "is_complete_request":
            content = {"status": "complete"}
        elif kind == "shutdown_request":
            content["restart"] = request["content"].get("restart", False)
        self.session.send(socket, kind.removesuffix("request") + "reply", content, parent=request, ident=identities)
        publish("status", {"execution_state": "idle"})
        return kind != "shutdown_request"


def main():
    file, message = sys.argv[1:]
    with open(file) as f:
        connection = json.load(f)
    StandIn(connection, message).serve()


if __name__ == "__main__":
    main()
