"""The checks of scripts/check-kubernetes, which installs what they need."""

import argparse
import pathlib
import re
import subprocess
import sys

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy/helm/aperture"
EXAMPLES = ROOT / "deploy/helm/examples"
RENDERED = ROOT / "deploy/kubernetes"
# The oldest and the newest that the chart is checked for.
KUBERNETES = ["1.29.0", "1.34.0"]
HEAD = "# Rendered from deploy/helm by scripts/check-kubernetes --write. Put your own names in, or use the chart.\n"

mistakes = []


def wrong(what):
    mistakes.append(what)


class Helm:
    def __init__(self, binary):
        self.binary = binary

    def run(self, *arguments):
        return subprocess.run([self.binary, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def render(self, example, *settings):
        return self.run(
            "template", "ai", CHART, "--namespace", "aperture", "--kube-version", KUBERNETES[-1], "--values", example, *settings
        )


def validate(document, version):
    """What Kubernetes' schema says against a document; nothing when it is sound."""
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{error.message} at {'.'.join(map(str, error.path))}"
    return None


def check_pod(where, pod, keeps_key):
    def must(holds, what):
        if not holds:
            wrong(f"{where}: {what}")

    security = pod["securityContext"]
    must(security["runAsNonRoot"] and security["runAsUser"] == 65532, "runs as root")
    must(security["seccompProfile"]["type"] == "RuntimeDefault", "no seccomp profile")
    must(pod["automountServiceAccountToken"] is keeps_key, "has a token that it does not need, or none where it does")
    for container in pod["containers"]:
        own = container["securityContext"]
        name = container["name"]
        must(own["readOnlyRootFilesystem"] is True, f"{name} can write to its root")
        must(own["allowPrivilegeEscalation"] is False, f"{name} may gain privileges")
        must(own["capabilities"] == {"drop": ["ALL"]}, f"{name} keeps capabilities")
        must("limits" in container["resources"] and "requests" in container["resources"], f"{name} has no resources")
        for volume in pod["volumes"]:
            must("hostPath" not in volume, f"{name} mounts the host")
    gateway = pod["containers"][0]
    for probe, command in [("readinessProbe", ["health"]), ("livenessProbe", ["health", "--alive"])]:
        must(gateway[probe]["exec"]["command"] == ["/usr/bin/aperture", *command], f"{probe} is another one")
    drain = next(re.search(r"(\d+)s", text).group(1) for text in gateway["args"] if text.startswith("--drain-timeout="))
    must(pod["terminationGracePeriodSeconds"] > int(drain) + 10, "is killed before it has drained")


def check_documents(where, documents):
    kinds = {}
    for document in documents:
        kinds.setdefault(document["kind"], []).append(document)
        for version in KUBERNETES:
            told = validate(document, version)
            if told:
                wrong(f"{where}: {document['kind']} {document['metadata']['name']}: {told} (Kubernetes {version})")
    (workload,) = kinds["StatefulSet"]
    if workload["spec"]["replicas"] != 1:
        wrong(f"{where}: more than one node of one name")
    pod = workload["spec"]["template"]["spec"]
    arguments = pod["containers"][0]["args"]
    check_pod(where, pod, any(text.startswith("--node-state=kube:") for text in arguments))
    (service,) = kinds["Service"]
    open_ports = [port["name"] for port in service["spec"].get("ports", [])]
    listens = any(text.startswith("--metrics-listen=") for text in arguments)
    if open_ports != (["metrics"] if listens else []):
        wrong(f"{where}: the Service has ports {open_ports}")
    for role in kinds.get("Role", []):
        (rule,) = role["rules"]
        if rule["verbs"] != ["get", "update", "patch"] or rule["resourceNames"] != ["ai-node"] or rule["resources"] != ["secrets"]:
            wrong(f"{where}: the role is wider than it must be: {rule}")
    selector = workload["spec"]["selector"]["matchLabels"].items()
    if not selector <= workload["spec"]["template"]["metadata"]["labels"].items():
        wrong(f"{where}: the selector does not select the pod")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--helm", required=True)
    parser.add_argument("--write", action="store_true", help="write deploy/kubernetes instead of comparing it")
    arguments = parser.parse_args()
    helm = Helm(arguments.helm)

    linted = helm.run("lint", "--strict", "--quiet", "--kube-version", KUBERNETES[-1], CHART)
    if linted.returncode != 0:
        wrong(f"helm lint: {linted.stdout}{linted.stderr}")
    own = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    if chart["appVersion"] != own:
        wrong(f"the chart is for {chart['appVersion']}, but this is {own}: change appVersion in {CHART / 'Chart.yaml'}")

    examples = sorted(EXAMPLES.glob("*.yaml"))
    for example in examples:
        rendered = helm.render(example)
        if rendered.returncode != 0:
            wrong(f"{example.name}: {rendered.stderr}")
            continue
        text = HEAD + re.sub(r"^# Source: .*\n", "", rendered.stdout, flags=re.MULTILINE)
        check_documents(example.name, [document for document in yaml.safe_load_all(text) if document])
        path = RENDERED / example.name
        if arguments.write:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong(f"{path.relative_to(ROOT)} is not what the chart gives: scripts/check-kubernetes --write mends that")
    for path in RENDERED.glob("*.yaml"):
        if not (EXAMPLES / path.name).exists():
            wrong(f"{path.relative_to(ROOT)} has no example")

    # Mistakes of a user are named, and these checks find mistakes.
    for settings, words in [
        (["--set", "config.mode=settingsPage", "--set", "persistence.enabled=false"], "would forget the configuration"),
        (["--set", "config.mode=page"], "it is configMap or settingsPage"),
        (["--set", "modelServer.enabled=true"], "needs modelServer.container"),
    ]:
        refused = helm.render(EXAMPLES / "volume.yaml", *settings)
        if refused.returncode == 0 or words not in refused.stderr:
            wrong(f"helm template {' '.join(settings)} does not say {words!r}: {refused.stderr}")
    spoilt = helm.render(EXAMPLES / "volume.yaml", "--set", "image.pullPolicy=Sometimes", "--set-json", 'podAnnotations={"a": {"b": 1}}')
    if all(validate(document, KUBERNETES[-1]) is None for document in yaml.safe_load_all(spoilt.stdout) if document):
        wrong("the schemas accept an annotation that is no text")

    if mistakes:
        sys.exit("\n".join(mistakes))
    print(f"kubernetes: {len(examples)} renderings are sound for {' to '.join(KUBERNETES)}")


main()
