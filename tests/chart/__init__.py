"""Tests of the Helm chart, its generated files, k8s/ and skaffold.yaml."""
