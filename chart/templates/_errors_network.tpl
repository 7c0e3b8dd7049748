{{/* Errors in Services and routes. */}}

{{- define "askd.networkErrors" -}}
{{- $values := .Values -}}
{{- $service := .Values.service -}}
{{- if eq (int $values.ops.port) 2024 }}
  - ops.port is 2024, which is the main port: use another one, such as 2025
{{- end }}
{{- $names := dict "ClusterIP" (list "nodePort" "externalTrafficPolicy" "loadBalancerClass" "loadBalancerSourceRanges") "NodePort" (list "loadBalancerClass" "loadBalancerSourceRanges") }}
{{- range $name := index $names $service.type }}
{{- if get $service $name }}
  - service.{{ $name }} has no effect with service.type={{ $service.type }}: omit it, or set service.type to {{ hasPrefix "loadBalancer" $name | ternary "LoadBalancer" "NodePort or LoadBalancer" }}
{{- end }}
{{- end }}
{{- if eq $service.clusterIP "None" }}
{{- if ne $service.type "ClusterIP" }}
  - service.clusterIP is None, and service.type is {{ $service.type }}, which needs an address: omit one of them
{{- end }}
{{- if ne (int $service.port) 2024 }}
  - service.clusterIP is None and service.port is {{ $service.port }}: clients of a headless Service connect to the pods, which listen on 2024, so set service.port=2024
{{- end }}
{{- end }}
{{- if and $service.sessionAffinityConfig (ne $service.sessionAffinity "ClientIP") }}
  - service.sessionAffinityConfig has no effect without service.sessionAffinity=ClientIP: set it, or omit both
{{- end }}
{{- if and (eq $service.ipFamilyPolicy "SingleStack") (gt (len $service.ipFamilies) 1) }}
  - service.ipFamilies has two families, but service.ipFamilyPolicy is SingleStack: use one family, or RequireDualStack
{{- end }}
{{- with $service.trafficDistribution }}
{{- $needed := eq . "PreferClose" | ternary 31 34 }}
{{- $minor := include "askd.kubeMinor" $ | int }}
{{- if lt $minor $needed }}
  - service.trafficDistribution={{ . }} needs Kubernetes 1.{{ $needed }}, but this is 1.{{ $minor }}: omit it
{{- end }}
{{- end }}
{{- if $values.ingress.enabled }}
{{- range $index, $host := $values.ingress.hosts }}
{{- if kindIs "map" $host }}
{{- range $name := keys (omit $host "host" "paths") | sortAlpha }}
  - ingress.hosts[{{ $index }}] has {{ $name }}: expected a host name, or {host: faq.example.org, paths: [{path: /, pathType: Prefix}]}
{{- end }}
{{- range $host.paths }}
{{- if not (hasPrefix "/" (kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "path") . | toString)) }}
  - ingress.hosts[{{ $index }}].paths has {{ toJson . }}: expected a path such as /, or {path: /, pathType: Prefix}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if $values.httpRoute.enabled }}
{{- if not $values.httpRoute.parentRefs }}
  - httpRoute.enabled needs httpRoute.parentRefs: name the Gateway, such as [{name: public, namespace: gateways}]
{{- end }}
{{- if and $values.httpRoute.rules (or $values.httpRoute.filters $values.httpRoute.path) }}
  - httpRoute.rules replace the chart's rules, so httpRoute.filters and httpRoute.path have no effect: put them into the rules
{{- end }}
{{- end }}
{{- if and $values.settings.rateLimit (not $values.settings.trustedProxies) (not $values.auth.existingSecret) }}
{{- $by := "" }}
{{- if and (ne $service.type "ClusterIP") (ne $service.externalTrafficPolicy "Local") }}{{ $by = printf "service.type=%s with externalTrafficPolicy: Cluster" $service.type }}{{ end }}
{{- if $values.httpRoute.enabled }}{{ $by = "an HTTPRoute" }}{{ end }}
{{- if $values.ingress.enabled }}{{ $by = "an Ingress" }}{{ end }}
{{- with $by }}
  - settings.rateLimit is per client, but behind {{ . }} all clients have the same address: set settings.trustedProxies to the proxies' networks, or auth.existingSecret (at a NodePort or LoadBalancer also service.externalTrafficPolicy: Local)
{{- end }}
{{- end }}
{{- end }}

{{/* The minor version of Kubernetes. */}}
{{- define "askd.kubeMinor" -}}
{{- regexFind "^[0-9]+" (.Capabilities.KubeVersion.Minor | toString) -}}
{{- end }}
