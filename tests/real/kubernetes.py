"""The Kubernetes files, as `kubectl apply -k` would send them: every object holds to the schemas of Kubernetes, names nothing
that does not exist, runs without privileges, and can be reached by those that have to reach it and nobody else.

kubernetes.py RENDERED: the output of `kubectl kustomize`, made with secrets of its own."""

import itertools
import sys

import kubernetes_validate
import yaml

VERSIONS = ["1.30", "1.33", kubernetes_validate.latest_version()]
WORKLOADS = ("Deployment", "StatefulSet")

objects = {}
for one in yaml.safe_load_all(open(sys.argv[1])):
    key = (one["kind"], one["metadata"]["name"])
    assert key not in objects, key
    objects[key] = one
    for version in VERSIONS:
        kubernetes_validate.validate(one, version, strict=True)
    assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "watermaster", key

# A schema that lets everything pass would be none.
try:
    kubernetes_validate.validate({"apiVersion": "v1", "kind": "Service", "spec": {"port": []}}, VERSIONS[0], strict=True)
    raise SystemExit("the schemas allow a member that does not exist")
except kubernetes_validate.ValidationError:
    pass


def of_kind(*kinds):
    return [one for (kind, _), one in objects.items() if kind in kinds]


def pod_of(workload):
    return workload["spec"]["template"]["spec"]


def labels_of(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


def matches(selector, labels):
    """Whether a selector (of a Service, or a LabelSelector) chooses these labels."""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return selector.items() <= labels.items()
    assert all(rule["operator"] == "In" for rule in selector.get("matchExpressions", [])), selector
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", [])
    )


workloads = {one["metadata"]["name"]: one for one in of_kind(*WORKLOADS)}
assert workloads.keys() == {
    "watermaster", "watermaster-aggregators", "watermaster-broker", "watermaster-postgres", "watermaster-redis",
    "watermaster-sentinel",
}, workloads.keys()
assert workloads["watermaster"]["spec"]["replicas"] == 3
# What aggregators report is in the memory of one process.
assert workloads["watermaster-aggregators"]["spec"]["replicas"] == 1
assert workloads["watermaster-aggregators"]["spec"]["strategy"]["type"] == "Recreate"

namespace = objects["Namespace", "watermaster"]
assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"

for name, one in workloads.items():
    assert matches(one["spec"]["selector"], labels_of(one)), name
    pod = pod_of(one)
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    context = pod["securityContext"]
    assert context["runAsNonRoot"] and context["runAsUser"] > 0, name
    assert context["seccompProfile"]["type"] == "RuntimeDefault", name
    assert not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), name
    assert pod["automountServiceAccountToken"] is False, name
    kinds = {key for volume in pod.get("volumes", []) for key in volume if key != "name"}
    assert kinds <= {"configMap", "emptyDir", "secret"}, (name, kinds)
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    volumes |= {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
    for volume in pod.get("volumes", []):
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in objects, volume
        if "secret" in volume:
            there = objects["Secret", volume["secret"]["secretName"]]["data"]
            assert {item["key"] for item in volume["secret"].get("items", [])} <= there.keys(), volume
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}, name
        assert context["readOnlyRootFilesystem"] is True, name
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes, name
        assert ":" in container["image"] and not container["image"].endswith(":latest"), container["image"]
        assert "cpu" in container["resources"]["requests"] and "memory" in container["resources"]["limits"], name
        ports = {port["name"] for port in container["ports"]}
        probes = ["readinessProbe"]
        if container["image"].startswith("watermaster"):
            probes += ["livenessProbe", "startupProbe"]
        for probe in probes:
            assert container[probe].get("httpGet", {"port": min(ports)})["port"] in ports, (name, probe)
        text = yaml.safe_dump(container)
        assert "anonymous=always" not in text, name
        # No password is in a variable or an argument: they are mounted.
        assert "secretKeyRef" not in text and "@" not in text, name

for (kind, name), one in objects.items():
    spec = one.get("spec", {})
    if kind in ("Service", "PodDisruptionBudget"):
        assert any(matches(spec["selector"], labels_of(some)) for some in workloads.values()), (kind, name)
    if kind == "Service":
        assert spec.get("type", "ClusterIP") == "ClusterIP", f"{name} is open to everybody"
    if kind == "StatefulSet":
        assert ("Service", spec["serviceName"]) in objects, name
    if kind == "HorizontalPodAutoscaler":
        target = spec["scaleTargetRef"]
        assert (target["kind"], target["name"]) in objects, target
        assert 2 <= spec["minReplicas"] < spec["maxReplicas"]
        metric = spec["metrics"][0]["resource"]
        assert metric == {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "600m"}}, metric

policies = of_kind("NetworkPolicy")
assert any(one["spec"]["podSelector"] == {} and "ingress" not in one["spec"] for one in policies), "nothing is refused"


def allows(one, direction, labels, port, other):
    """Whether a policy lets these pods take (ingress) or open (egress) connections to that port, with pods like the other."""
    spec = one["spec"]
    peers = "from" if direction == "ingress" else "to"
    return matches_all(spec["podSelector"], labels) and any(
        any("podSelector" in peer and matches(peer["podSelector"], other) for peer in rule[peers])
        and any(some["port"] == port for some in rule["ports"])
        for rule in spec.get(direction, [])
    )


def matches_all(selector, labels):
    return selector == {} or matches(selector, labels)


def connects(source, target, port):
    source, target = labels_of(workloads[source]), labels_of(workloads[target])
    out = any(allows(one, "egress", source, port, target) for one in policies)
    return out and any(allows(one, "ingress", target, port, source) for one in policies)


needed = {("watermaster", "watermaster-postgres", 5432), ("watermaster-aggregators", "watermaster-postgres", 5432)}
needed |= {
    (source, target, port)
    for source in ("watermaster-aggregators", "watermaster-broker", "watermaster-redis", "watermaster-sentinel")
    for target, port in (("watermaster-redis", 6379), ("watermaster-sentinel", 26379))
}
ports = {5432: "watermaster-postgres", 6379: "watermaster-redis", 26379: "watermaster-sentinel", 1883: "watermaster-broker"}
for source, (port, target) in itertools.product(workloads, ports.items()):
    wanted = (source, target, port) in needed
    assert connects(source, target, port) == wanted, f"{source} to {target}:{port} should be {'open' if wanted else 'closed'}"
print(f"{len(objects)} objects hold to the schemas of Kubernetes {', '.join(VERSIONS)}", file=sys.stderr)
