{{/* Values for the placeholders of the rules and the dashboard in files/. */}}

{{/* Replaces @availability@ and the other placeholders in a text. Prometheus' braces are left alone. */}}
{{- define "askd.filled" -}}
{{- $text := .text -}}
{{- range $name, $value := include "askd.objectives" .root | fromJson -}}
{{- $text = replace (printf "@%s@" $name) $value $text -}}
{{- end -}}
{{- $text -}}
{{- end }}

{{/* The value of the label `job` of the pods' series: a monitor's name, after the namespace of a PodMonitor. */}}
{{- define "askd.job" -}}
{{- $name := include "askd.fullname" . -}}
{{- $podJob := printf "%s/%s" (.Values.podMonitor.namespace | default (include "askd.namespace" .)) $name -}}
{{- if .Values.prometheusRule.job -}}{{- .Values.prometheusRule.job -}}
{{- else if .Values.podMonitor.enabled -}}{{- $podJob -}}
{{- else if .Values.serviceMonitor.enabled -}}{{- $name }}-ops
{{- else -}}{{- $podJob }}|{{ $name }}-ops
{{- end -}}
{{- end }}

{{/* The values, as JSON. */}}
{{- define "askd.objectives" -}}
{{- $name := include "askd.fullname" . -}}
{{- $namespace := include "askd.namespace" . -}}
{{- $seconds := divf (include "askd.milliseconds" .Values.slo.latency.threshold) 1000.0 | toString -}}
{{- dict
  "availability" (include "askd.text" .Values.slo.availability)
  "latency" (include "askd.text" .Values.slo.latency.objective)
  "threshold" (contains "." $seconds | ternary $seconds (printf "%s.0" $seconds))
  "selector" (printf "namespace=%q,job=~%q," $namespace (include "askd.job" .))
  "autoscaler" (printf "namespace=%q,horizontalpodautoscaler=~%q" $namespace (printf "(keda-hpa-)?%s" $name))
  "runbooks" (.Values.prometheusRule.runbookUrl | trimSuffix "/")
  "critical" .Values.prometheusRule.severities.critical
  "warning" .Values.prometheusRule.severities.warning
  "uid" (printf "askd-%s" (printf "%s/%s" $namespace $name | sha256sum | trunc 12))
  "title" (printf "askd: %s/%s" $namespace $name)
  "namespace" $namespace
| toJson -}}
{{- end }}

{{/* File name of the dashboard, which is unique in a cluster. */}}
{{- define "askd.dashboardFile" -}}
{{- include "askd.namespace" . }}-{{ include "askd.fullname" . }}.json
{{- end }}
