# Shared by up.sh and down.sh: what is used where, and which clusters may be touched.
# shellcheck shell=bash

NAMESPACE=askd
MONITORING=askd-prometheus
CLUSTER=askd
export NAMESPACE MONITORING CLUSTER

say() { printf '== %s\n' "$*"; }
fail() { printf '%s\n' "$@" >&2; exit 1; }

# need TOOL...: each must be there.
need() {
  local tool
  for tool; do command -v "$tool" >/dev/null || fail "$tool is not installed: see docs/kubernetes.md for what is needed"; done
}

context() { kubectl config current-context 2>/dev/null || true; }

# local_context NAME: whether that is a cluster on this machine.
local_context() {
  case $1 in
    kind-* | minikube | minikube-* | k3d-* | docker-desktop | rancher-desktop | orbstack | colima | colima-*) true ;;
    *) false ;;
  esac
}

# refuse_foreign: end unless the current context is a local cluster, or there is none.
refuse_foreign() {
  local name
  name=$(context)
  [[ -z $name ]] || local_context "$name" || fail \
    "The current context is $name, which is no kind, minikube, k3d, Docker Desktop, Rancher Desktop, OrbStack or Colima." \
    "This is for clusters on this machine only: kubectl config use-context kind-$CLUSTER"
}
