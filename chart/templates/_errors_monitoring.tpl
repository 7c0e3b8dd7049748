{{/* Errors in monitors, alerts and dashboards. */}}

{{- define "askd.monitoringErrors" -}}
{{- $values := .Values -}}
{{- $monitored := or $values.podMonitor.enabled $values.serviceMonitor.enabled -}}
{{- if and $values.podMonitor.enabled $values.serviceMonitor.enabled }}
  - podMonitor and serviceMonitor are both enabled, so every pod would be scraped twice: disable one
{{- end }}
{{- with $values.prometheusRule }}
{{- if and .enabled (not (or $monitored .job)) }}
  - prometheusRule.enabled needs a job: enable podMonitor or serviceMonitor, or set prometheusRule.job to the job that scrapes the pods
{{- end }}
{{- $alerts := list }}
{{- range ($.Files.Get "files/rules.yaml" | fromYaml).groups }}{{ range .rules }}{{ $alerts = append $alerts .alert }}{{ end }}{{ end }}
{{- range $name := keys .disabled | sortAlpha }}
{{- if not (has $name $alerts) }}
  - prometheusRule.disabled has {{ $name }}, which is no alert of the chart: use one of {{ compact $alerts | uniq | sortAlpha | join ", " }}
{{- end }}
{{- end }}
{{- end }}
{{- $threshold := $values.slo.latency.threshold }}
{{- $edges := list }}
{{- range include "askd.bucketEdges" . | fromJsonArray }}{{ $edges = append $edges (int64 .) }}{{ end }}
{{- if and (or $values.prometheusRule.enabled $values.grafanaDashboard.enabled) (not (has (include "askd.milliseconds" $threshold | int64) $edges)) }}
  - slo.latency.threshold is {{ include "askd.text" $threshold }}, which is not one of settings.latencyBuckets, so slower answers are not counted: use one of {{ join ", " $values.settings.latencyBuckets }}, or add it there
{{- end }}
{{- if hasKey $values.grafanaDashboard.files (include "askd.dashboardFile" .) }}
  - grafanaDashboard.files has {{ include "askd.dashboardFile" . }}, which is the chart's dashboard: rename yours
{{- end }}
{{- end }}
