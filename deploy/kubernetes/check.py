"""What a schema cannot tell: that the manifests refer to what is there, and keep what OPERATING.md says of them."""

import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).parent
FILES = [path for path in HERE.glob("*.yaml") if path.name != "kustomization.yaml"]
DOCUMENTS = [document for path in FILES for document in yaml.safe_load_all(path.read_text())]


def named(kind):
    return {d["metadata"]["name"]: d for d in DOCUMENTS if d["kind"] == kind}


def must(holds, what):
    if not holds:
        sys.exit(f"deploy/kubernetes: {what}")


def pod(document):
    return document["spec"]["template"]["spec"]


def main():
    deployments, secrets, maps = named("Deployment"), named("Secret"), named("ConfigMap")
    listed = set(yaml.safe_load((HERE / "kustomization.yaml").read_text())["resources"])
    there = {path.name for path in FILES} - {"secrets.example.yaml"}
    must(listed == there, f"kustomization.yaml lists {listed ^ there} or does not")
    for name, document in {**deployments, **named("Job")}.items():
        labels, spec = document["spec"]["template"]["metadata"]["labels"], pod(document)
        if document["kind"] == "Deployment":
            must(document["spec"]["selector"]["matchLabels"] == labels, f"{name} does not select its own pods")
        must(spec["securityContext"]["runAsNonRoot"], f"{name} may run as root")
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for volume in volumes.values():
            must(volume.get("configMap", {}).get("name", "n2s") in maps, f"{name} mounts an unknown ConfigMap")
        for container in spec["containers"] + spec.get("initContainers", []):
            must(container["securityContext"]["readOnlyRootFilesystem"], f"{name} may write to its image")
            for source in container.get("envFrom", []):
                must(source["secretRef"]["name"] in secrets, f"{name} reads an unknown Secret")
            for mount in container["volumeMounts"]:
                must(mount["name"] in volumes, f"{name} mounts {mount['name']}, which is no volume of it")
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if probe in container:
                    must(container[probe]["httpGet"]["port"] in ports, f"{name}'s {probe} asks a port it has not")
    graces = {name: pod(deployment)["terminationGracePeriodSeconds"] for name, deployment in deployments.items()}
    config = maps["n2s"]["data"]["config.toml"]
    must(graces["worker"] > 60 and "grace_secs = 60" in config, "a worker is killed before its drain has ended")
    for kind in ("PodDisruptionBudget",):
        for name, budget in named(kind).items():
            wanted = budget["spec"]["selector"]["matchLabels"]
            must(wanted == deployments[name]["spec"]["selector"]["matchLabels"], f"{kind} {name} is of no pods")
    for path in (HERE / "keda").glob("*.yaml"):
        scaled = [d for d in yaml.safe_load_all(path.read_text()) if d["kind"] == "ScaledObject"]
        must(all(d["spec"]["scaleTargetRef"]["name"] in deployments for d in scaled), f"{path.name} scales nothing")


main()
