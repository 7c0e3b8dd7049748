#!/usr/bin/env bash
# make up: create a cluster if necessary, build the images, install askd and Prometheus, print their addresses.
# Needs docker, kubectl, helm, and kind or minikube. A second call applies changes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=k8s/lib.sh
. k8s/lib.sh

need docker kubectl helm
refuse_foreign

# An annotation of the namespace records that `make down` may delete the cluster as well.
made=false
if [[ -z $(context) ]]; then
  say "creating a cluster"
  if command -v kind >/dev/null; then
    kind create cluster --name "$CLUSTER" --config k8s/kind.yaml
  elif command -v minikube >/dev/null; then
    minikube start --profile minikube
  else
    fail "no cluster, and neither kind nor minikube is installed to create one: install one of them"
  fi
  made=true
  refuse_foreign
fi
context=$(context)
kubectl version >/dev/null 2>&1 || fail "the cluster of context $context does not respond: start it, or remove the context"

say "building the images"
# The variants are for projects of `askd init`: `skaffold dev` there builds on askd:dev, whose files can be replaced.
docker build --quiet --target dev --tag askd:dev .
docker build --quiet --target pip --tag askd:pip .
docker build --tag askd .
# The tag is derived from the content, so that pods are replaced only if the image changed.
id=$(docker image inspect --format '{{.Id}}' askd)
id=${id#sha256:}
tag=built-${id:0:12}
docker tag askd "askd:$tag"

say "loading the image into the cluster"
case $context in
  kind-*) kind load docker-image "askd:$tag" --name "${context#kind-}" ;;
  minikube*) minikube --profile "$context" image load "askd:$tag" ;;
  k3d-*) k3d image import "askd:$tag" --cluster "${context#k3d-}" ;;
  *) echo "$context uses the images of docker" ;;
esac

say "installing askd"
helm upgrade --install askd chart --namespace "$NAMESPACE" --create-namespace --wait --timeout 5m \
  --set "image.tag=$tag" --set service.type=NodePort --set service.nodePort=30024 "$@" >/dev/null
kubectl label namespace "$NAMESPACE" --overwrite pod-security.kubernetes.io/enforce=restricted >/dev/null
if $made; then kubectl annotate namespace "$NAMESPACE" --overwrite askd/cluster=made-by-make-up >/dev/null; fi

say "installing Prometheus"
kubectl apply --kustomize k8s/prometheus >/dev/null
kubectl --namespace "$MONITORING" rollout status deployment/prometheus --timeout 5m

# reach LOCAL NODE_PORT PATH: print the address that responds, the mapped port of localhost or the node's.
reach() {
  local address url
  address=$(kubectl get nodes --output jsonpath='{.items[0].status.addresses[?(@.type=="InternalIP")].address}')
  for url in "http://localhost:$1" "http://$address:$2"; do
    if curl --silent --fail --max-time 3 --output /dev/null "$url$3"; then echo "$url"; return; fi
  done
  echo "http://$address:$2"
}

if command -v curl >/dev/null; then
  askd=$(reach 2024 30024 '/ask?q=hello')
  printf '\nAsk:         curl "%s/ask?q=hello"\nPages:       %s/ and %s/docs\nPrometheus:  %s\n' \
    "$askd" "$askd" "$askd" "$(reach 9090 30090 /-/ready)"
fi
printf 'Test it:     helm test askd --namespace %s\nRemove it:   make down\n' "$NAMESPACE"
