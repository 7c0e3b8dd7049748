# Functions of up.sh and down.sh: names, required tools, and the check for a local cluster.
# shellcheck shell=bash

NAMESPACE=askd
MONITORING=askd-prometheus
CLUSTER=askd
export NAMESPACE MONITORING CLUSTER

say() { printf '== %s\n' "$*"; }
fail() { printf '%s\n' "$@" >&2; exit 1; }

# need TOOL...: fail unless every tool is installed.
need() {
  local tool
  for tool; do command -v "$tool" >/dev/null || fail "$tool is not installed: see docs/how-to/deploy-on-kubernetes.md"; done
}

context() { kubectl config current-context 2>/dev/null || true; }

# local_context NAME: succeed if that is a cluster on this machine.
local_context() {
  case $1 in
    kind-* | minikube | minikube-* | k3d-* | docker-desktop | rancher-desktop | orbstack | colima | colima-*) true ;;
    *) false ;;
  esac
}

# refuse_foreign: fail if the current context is not a local cluster; no context is fine.
refuse_foreign() {
  local name
  name=$(context)
  [[ -z $name ]] || local_context "$name" || fail \
    "The current context is $name, which is not kind, minikube, k3d, Docker Desktop, Rancher Desktop, OrbStack or Colima." \
    "Only clusters on this machine are changed: kubectl config use-context kind-$CLUSTER"
}
