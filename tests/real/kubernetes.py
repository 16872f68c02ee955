"""The Kubernetes files: that they are YAML, hold what they should, and name nothing that does not exist."""

import pathlib
import sys

import yaml

folder = pathlib.Path(__file__).parents[2] / "deploy" / "kubernetes"
listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
assert sorted(listed) == sorted(p.name for p in folder.glob("*.yaml") if p.name != "kustomization.yaml"), listed
objects = {}
for name in listed:
    for one in yaml.safe_load_all((folder / name).read_text()):
        key = (one["kind"], one["metadata"]["name"])
        assert key not in objects, key
        objects[key] = one
kinds = {kind for kind, _ in objects}
wanted = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "StatefulSet", "ConfigMap", "Secret"}
assert wanted <= kinds, wanted - kinds

workloads = [one for (kind, _), one in objects.items() if kind in ("Deployment", "StatefulSet")]
labels = [one["spec"]["template"]["metadata"]["labels"] for one in workloads]
for (kind, name), one in objects.items():
    spec = one.get("spec", {})
    selector = spec.get("selector", {}) if kind in ("Service", "PodDisruptionBudget") else None
    if selector is not None:
        selector = selector.get("matchLabels", selector)
        assert any(selector.items() <= some.items() for some in labels), (kind, name)
    if kind == "StatefulSet":
        assert ("Service", spec["serviceName"]) in objects, name
    if kind == "HorizontalPodAutoscaler":
        target = spec["scaleTargetRef"]
        assert (target["kind"], target["name"]) in objects, target
        assert 1 <= spec["minReplicas"] < spec["maxReplicas"]
        assert spec["metrics"][0]["resource"]["name"] == "cpu"
for one in workloads:
    assert one["spec"]["selector"]["matchLabels"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
    pod = one["spec"]["template"]["spec"]
    for volume in pod.get("volumes", []):
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in objects, volume
    for container in pod["containers"]:
        ports = {port["name"] for port in container["ports"]}
        for probe in ("readinessProbe", "livenessProbe"):
            http = container.get(probe, {}).get("httpGet")
            assert http is None or http["port"] in ports, container["name"]
        for variable in container.get("env", []):
            secret = variable["valueFrom"]["secretKeyRef"]
            assert secret["key"] in objects["Secret", secret["name"]]["stringData"], secret
print(f"{len(objects)} objects", file=sys.stderr)
