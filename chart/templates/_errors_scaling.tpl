{{/* Errors in replicas, rollouts and autoscaling. */}}

{{- define "askd.scalingErrors" -}}
{{- with .Values.strategy }}
{{- if and (eq .type "RollingUpdate") (has (toString .rollingUpdate.maxSurge) (list "0" "0%")) (has (toString .rollingUpdate.maxUnavailable) (list "0" "0%")) }}
  - strategy.rollingUpdate.maxSurge and maxUnavailable are both 0, so a rollout could not begin: set maxSurge=1, or maxUnavailable=1 if there is no room for one more pod
{{- end }}
{{- end }}
{{- $replicas := include "askd.certainReplicas" . | int }}
{{- if and .Values.podDisruptionBudget.enabled (gt $replicas 1) }}
{{- with .Values.podDisruptionBudget }}
{{- if and (not (kindIs "invalid" .minAvailable)) (not (kindIs "invalid" .maxUnavailable)) }}
  - podDisruptionBudget.minAvailable and maxUnavailable are both set, but Kubernetes allows one: omit the other
{{- else if has (toString .maxUnavailable) (list "0" "0%") }}
  - podDisruptionBudget.maxUnavailable is 0, so no node with a pod could be drained: use 1, or podDisruptionBudget.enabled=false
{{- else if or (eq (toString .minAvailable) "100%") (and (not (kindIs "invalid" .minAvailable)) (not (kindIs "string" .minAvailable)) (ge (int .minAvailable) $replicas)) }}
  - podDisruptionBudget.minAvailable is {{ .minAvailable }} of {{ $replicas }} replicas, so no node with a pod could be drained: use less, or podDisruptionBudget.maxUnavailable=1
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.autoscaling.enabled }}
{{- include "askd.autoscalingErrors" . }}
{{- end }}
{{- if include "askd.scaledByOthers" . }}
{{- $live := include "askd.live" . | fromJson }}
{{- if $live.applied }}
  - {{ .Values.autoscaling.enabled | ternary "autoscaling.enabled is true" "replicaCount is null" }}, but Helm owns spec.replicas (now {{ int64 $live.replicas }}), and without it Kubernetes would scale down to 1: hand the number over, then upgrade again:
    kubectl apply --server-side --field-manager=autoscaler --filename - <<'EOF'
    {apiVersion: apps/v1, kind: Deployment, metadata: {name: {{ include "askd.fullname" . }}, namespace: {{ include "askd.namespace" . }}}, spec: {replicas: {{ int64 $live.replicas }}}}
    EOF
{{- end }}
{{- end }}
{{- end }}

{{- define "askd.autoscalingErrors" -}}
{{- with .Values.autoscaling }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
  - autoscaling.minReplicas is {{ .minReplicas }} and maxReplicas is {{ .maxReplicas }}: the maximum must not be below the minimum
{{- end }}
{{- $others := or .saturation.enabled (and (eq .type "hpa") .metrics) }}
{{- if not (or .cpu.averageValue $others) }}
  - autoscaling.type={{ .type }} has no metric: set autoscaling.cpu.averageValue (700m) or autoscaling.saturation.enabled
{{- end }}
{{- if and .cpu.averageValue (not $others) }}
{{- include "askd.cpuLimitErrors" $ }}
{{- end }}
{{- if and (eq .type "keda") .saturation.enabled (not .keda.serverAddress) }}
  - autoscaling.saturation with keda needs autoscaling.keda.serverAddress: the address of Prometheus, such as http://prometheus.monitoring:9090
{{- end }}
{{- if and (eq .type "keda") .metrics }}
  - autoscaling.metrics need a HorizontalPodAutoscaler: omit them, or set autoscaling.type=hpa
{{- end }}
{{- $minor := include "askd.kubeMinor" $ | int }}
{{- if and (not (kindIs "invalid" .tolerance)) (lt $minor 35) }}
  - autoscaling.tolerance needs Kubernetes 1.35, but this is 1.{{ $minor }}: omit it
{{- end }}
{{- if and (eq .type "keda") (lookup "autoscaling/v2" "HorizontalPodAutoscaler" (include "askd.namespace" $) (include "askd.fullname" $)) }}
  - autoscaling.type=keda, but a HorizontalPodAutoscaler holds the Deployment, which KEDA rejects: upgrade in two steps, first with autoscaling.enabled=false and replicaCount=null, which keeps the live replicas, then with keda
{{- end }}
{{- end }}
{{- end }}

{{/* A container that is throttled below the target never reaches it, so an autoscaler by CPU alone would never act. */}}
{{- define "askd.cpuLimitErrors" -}}
{{- $target := include "askd.millicores" (include "askd.cpuTarget" .) | int64 }}
{{- $limit := dig "limits" "cpu" "" .Values.resources }}
{{- $source := "resources.limits.cpu" }}
{{- if not $limit }}
{{- range (lookup "v1" "LimitRange" (include "askd.namespace" .) "").items }}
{{- $name := .metadata.name }}
{{- range .spec.limits }}
{{- $default := dig "cpu" "" (.default | default dict) }}
{{- if and (eq .type "Container") $default }}{{ $limit = $default }}{{ $source = printf "the default CPU limit of LimitRange %s" $name }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- if $limit }}
{{- $bound := include "askd.millicores" $limit | int64 }}
{{- if le $bound $target }}
  - {{ $source }} is {{ $limit }} and autoscaling.cpu.averageValue is {{ include "askd.cpuTarget" . }}: a replica never uses more than its limit, so the autoscaler would never act: use a target below it, such as {{ div (mul $bound 7) 10 }}m, a higher limit, or autoscaling.saturation.enabled
{{- end }}
{{- end }}
{{- end }}

{{/* Thousandths of a CPU: 500m, 0.5 or 2. */}}
{{- define "askd.millicores" -}}
{{- $text := include "askd.text" . -}}
{{- hasSuffix "m" $text | ternary (trimSuffix "m" $text | float64) (mulf (trimSuffix "m" $text | float64) 1000) | int64 -}}
{{- end }}
