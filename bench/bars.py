"""What the gateway takes when little or much is asked of it: start, rest, a large body, many idle streams.

scripts/bench --bars calls it; the gateway is on the private tailnet, but for the large body, with capture on. Every figure is read from
/proc, or is the time until a client had its answer.
"""

import http.client
import json
import pathlib
import statistics
import time
import urllib.parse

import demo

STREAMS, NODES = 5000, 10
BODY = 30 * 1000 * 1000
STARTS = 9
MIB = 1024


def status(pid, name):
    """A line of /proc/PID/status, a number."""
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise demo.Failed(f"the process {pid} has no {name}")


def settled(pid):
    """Resident KiB once they have not grown for two seconds."""
    last, since = status(pid, "VmRSS"), time.monotonic()
    while time.monotonic() - since < 2:
        time.sleep(0.1)
        now = status(pid, "VmRSS")
        if abs(now - last) > 256:
            last, since = now, time.monotonic()
    return last


class Place:
    """The provider, the tailnet, and how a gateway is started there."""

    def __init__(self, options, root, children, config):
        self.binaries, self.root, self.children, self.config = pathlib.Path(options.bin), root, children, config
        self.provider = self.child("provider", [self.binaries / "scripted-provider", "--light", "--exit-with-stdin"], root)
        self.url = self.provider.ready["url"]
        for model, script in [
            ("claude-haiku-4-5", {"text": "A word.", "usage": {"input": 500, "output": 3}}),
            ("claude-sonnet-4-5", {"text": "one two three four", "stall": "mid_stream"}),
        ]:
            status, _, text = demo.call(self.url + "/_script", {"match": {"model": model}, "script": script})
            if status >= 300:
                raise demo.Failed(f"the provider did not take its script: {text}")
        topology = {
            "users": [{"login": "alice@example.com", "display": "Alice"}],
            "authKeys": {"tskey-auth-ai": {"hostname": "ai"}},
            "nodes": [
                {"name": "ai", "external": True, "user": "alice@example.com", "tags": ["tag:aperture"]},
                {"name": "alice", "user": "alice@example.com", "forward": ["ai:80"]},
                {"name": "many", "user": "alice@example.com", "count": NODES},
            ],
        }
        (root / "topology.json").write_text(json.dumps(topology))
        (root / "key").write_text("tskey-auth-ai")
        self.lab = self.child("lab", [options.lab, "-topology", root / "topology.json", "-exit-with-stdin"], root)
        self.forward = "http://" + self.lab.ready["forwards"][0]["listen"]

    def child(self, *args, **kwargs):
        self.children.append(demo.Child(*args, **kwargs))
        return self.children[-1]

    def gateway(self, name, *arguments):
        config = self.root / "gateway.hujson"
        config.write_text(self.config % {"provider": self.url, "capture": "full"})
        return self.child(
            name, [self.binaries / "aperture", "--state-dir", self.root / "state", "--config", config, "--allow-local-upstreams", *arguments],
            self.root, ready=False, stdin=False, env=demo.joining_environment(self.root),
        )

    def on_the_tailnet(self):
        return self.gateway("gateway", "--hostname", "ai", "--control-url", self.lab.ready["controlURL"], "--auth-key-file", self.root / "key")

    def first_answer(self):
        """A gateway, and the seconds from its exec to the first answer that a client on the tailnet gets."""
        began = time.monotonic()
        gateway = self.on_the_tailnet()
        while time.monotonic() - began < 20:
            try:
                # Short: what is sent before the node is there is sent again after a second only.
                if demo.call(self.forward + "/v1/models", timeout=0.05)[0] == 200:
                    return gateway, time.monotonic() - began
            except OSError:
                time.sleep(0.002)
        raise demo.Failed(f"the gateway does not answer:\n{gateway.tail()}")


def starts(place):
    """From exec to the first answer: a new node, then one that the control server knows."""
    gateway, new = place.first_answer()
    known = []
    for _ in range(STARTS):
        gateway.stop()
        gateway, took = place.first_answer()
        known.append(took)
    return gateway, new, known


def post(url, path, size, model):
    """One request whose body has about that many bytes, sent as it is made; reads the answer."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    head = json.dumps({"model": model, "max_tokens": 9, "messages": []})[:-2].encode() + b'{"role":"user","content":"'
    piece, tail = b"word " * 20000, b'"}]}'
    pieces = size // len(piece)
    connection.putrequest("POST", path)
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(len(head) + pieces * len(piece) + len(tail)))
    connection.endheaders(head)
    for _ in range(pieces):
        connection.send(piece)
    connection.send(tail)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise demo.Failed(f"{path}: {answer.status}")
    connection.close()


def large_body(place, free_address):
    """Peak memory above idle while one body of 30 MB passes; on the development listener."""
    address = free_address()
    gateway = place.gateway("large", "--dev-listen", address, "--dev-user", "alice@example.com")
    url = "http://" + address
    demo.wait_until_serving(url, gateway)
    post(url, "/v1/messages", 100_000, "claude-haiku-4-5")
    pid = gateway.process.pid
    before = settled(pid)
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
    post(url, "/v1/messages", BODY, "claude-haiku-4-5")
    peak = status(pid, "VmHWM")
    after = settled(pid)
    gateway.stop()
    return before, peak, after


def idle_streams(place, gateway):
    """Threads, and KiB for each of the streams that wait for their provider's next event."""
    pid = gateway.process.pid
    body = json.dumps({"model": "claude-sonnet-4-5", "max_tokens": 64, "stream": True, "messages": [{"role": "user", "content": "hello"}]})

    def hold(node, count):
        order = {"target": "ai:80", "path": "/v1/messages", "method": "POST", "count": count,
                 "headers": {"content-type": "application/json"}, "body": body, "timeout_ms": 120_000}
        code, _, text = demo.call(f"{place.lab.ready['apiURL']}/nodes/{node}/streams", order, timeout=180)
        if code >= 300 or json.loads(text)["opened"] != count:
            raise demo.Failed(f"the streams did not open: {text}")

    hold("many1", 1)
    before = settled(pid)
    for node in range(1, NODES + 1):
        hold(f"many{node}", STREAMS // NODES)
    return before, settled(pid), status(pid, "Threads")


def run(options, root, children, config, free_address):
    """All of them; the table in Markdown."""
    place = Place(options, root, children, config)
    gateway, new, known = starts(place)
    idle = settled(gateway.process.pid)
    idle_threads = status(gateway.process.pid, "Threads")
    before, full, threads = idle_streams(place, gateway)
    gateway.stop()
    body_before, body_peak, body_after = large_body(place, free_address)
    spread = f"{min(known) * 1000:.0f} to {max(known) * 1000:.0f}"
    rows = [
        ("exec to first answer, a node that is known", f"{statistics.median(known) * 1000:.0f} ms ({spread}, {STARTS} starts)", "300 ms", "100 ms"),
        ("exec to first answer, a new node with its auth key", f"{new * 1000:.0f} ms (one start)", "", ""),
        ("idle on the tailnet, resident", f"{idle / MIB:.0f} MiB, {idle_threads} threads", "60 MB", "40 MB"),
        (f"{STREAMS:,} idle streams on the tailnet", f"{threads} threads, {(full - before) / STREAMS:.0f} KiB each", "64 threads, 100 KB", "32 threads, 60 KB"),
        ("a body of 30 MB: peak above idle", f"{(body_peak - body_before) / MIB:.0f} MiB (then {(body_after - body_before) / MIB:.0f} MiB above it)", "70 MB", "40 MB"),
    ]
    lines = ["| capture on | measured | bar | aim |", "| --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| {what} | {found} | {bar} | {aim} |" for what, found, bar, aim in rows])
