{{/* Values for the placeholders of the rules and the dashboard in files/. */}}

{{/* Replaces @availability@ and the other placeholders in a text. Prometheus' braces are left alone. */}}
{{- define "askd.filled" -}}
{{- $text := .text -}}
{{- range $name, $value := include "askd.objectives" .root | fromJson -}}
{{- $text = replace (printf "@%s@" $name) $value $text -}}
{{- end -}}
{{- $text -}}
{{- end }}

{{/* The values, as JSON. A pod's job is its Monitor's name, with the namespace before a PodMonitor's. */}}
{{- define "askd.objectives" -}}
{{- $name := include "askd.fullname" . -}}
{{- $namespace := .Release.Namespace -}}
{{- $job := .Values.metrics.rules.job | default (printf "%s/%s|%s-ops" $namespace $name $name) -}}
{{- $seconds := divf (include "askd.milliseconds" .Values.slo.latency.threshold) 1000.0 | toString -}}
{{- dict
  "availability" (include "askd.text" .Values.slo.availability)
  "latency" (include "askd.text" .Values.slo.latency.objective)
  "threshold" (contains "." $seconds | ternary $seconds (printf "%s.0" $seconds))
  "selector" (printf "namespace=%q,job=~%q," $namespace $job)
  "autoscaler" (printf "namespace=%q,horizontalpodautoscaler=~%q" $namespace (printf "(keda-hpa-)?%s" $name))
  "runbooks" (.Values.metrics.rules.runbooks | trimSuffix "/")
| toJson -}}
{{- end }}
