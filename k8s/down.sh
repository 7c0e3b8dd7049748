#!/usr/bin/env bash
# make down: remove everything that make up created, including the cluster if make up created it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=k8s/lib.sh
. k8s/lib.sh

need kubectl helm
refuse_foreign
context=$(context)
[[ -n $context ]] || { echo "There is no cluster."; exit 0; }

made=$(kubectl get namespace "$NAMESPACE" --ignore-not-found --output 'jsonpath={.metadata.annotations.askd/cluster}')
if [[ $made == made-by-make-up ]]; then
  case $context in
    kind-*) kind delete cluster --name "${context#kind-}" ;;
    *) minikube delete --profile "$context" ;;
  esac
  exit 0
fi
if helm status askd --namespace "$NAMESPACE" >/dev/null 2>&1; then
  helm uninstall askd --namespace "$NAMESPACE" --wait --timeout 3m
fi
kubectl delete --kustomize k8s/prometheus --ignore-not-found --wait
kubectl delete namespace "$NAMESPACE" --ignore-not-found --wait
