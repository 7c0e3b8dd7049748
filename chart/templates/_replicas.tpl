{{/* Ownership of `spec.replicas`, and the number to render. */}}

{{/* Non-empty if something else scales the Deployment. */}}
{{- define "askd.scaledByOthers" -}}
{{- if or .Values.autoscaling.enabled (kindIs "invalid" .Values.replicaCount) -}}yes{{- end -}}
{{- end }}

{{/* How the live Deployment was deployed, as JSON. `owner` is the field manager that set its selector.
     applied: server-side, and no other manager owns the number, so an upgrade without it would set it to 1
     updated: client-side, so an upgrade without the number of the last manifest would set it to 1
     Without a cluster (helm template, GitOps) the live state is unknown. */}}
{{- define "askd.live" -}}
{{- $live := lookup "apps/v1" "Deployment" (include "askd.namespace" .) (include "askd.fullname" .) -}}
{{- $state := dict "applied" false "updated" false "replicas" 1 -}}
{{- if $live -}}
{{- $held := false -}}
{{- range $entry := $live.metadata.managedFields -}}
{{- $fields := dig "f:spec" dict ($entry.fieldsV1 | default dict) -}}
{{- $deployer := hasKey $fields "f:selector" -}}
{{- if and $deployer (eq $entry.operation "Update") -}}{{- $_ := set $state "updated" true -}}{{- end -}}
{{- if hasKey $fields "f:replicas" -}}
{{- if and $deployer (eq $entry.operation "Apply") -}}{{- $_ := set $state "applied" true -}}
{{- else if not $deployer -}}{{- $held = true -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if $held -}}{{- $_ := set $state "applied" false -}}{{- end -}}
{{- $_ := set $state "replicas" ($live.spec.replicas | int64) -}}
{{- end -}}
{{- toJson $state -}}
{{- end }}

{{/* The number to render; empty renders none. */}}
{{- define "askd.replicas" -}}
{{- if not (include "askd.scaledByOthers" .) -}}
{{- .Values.replicaCount | int64 -}}
{{- else -}}
{{- $live := include "askd.live" . | fromJson -}}
{{- if $live.updated -}}{{- $live.replicas | int64 -}}{{- end -}}
{{- end -}}
{{- end }}

{{/* The guaranteed number of replicas; 0 if something else decides. */}}
{{- define "askd.certainReplicas" -}}
{{- if .Values.autoscaling.enabled -}}
{{- .Values.autoscaling.minReplicas | int64 -}}
{{- else -}}
{{- .Values.replicaCount | default 0 | int64 -}}
{{- end -}}
{{- end }}

{{/* Used concurrency in replicas: the mean number of calls in flight (Little's law: call seconds per second), plus shed
     requests and clients that left the queue times the mean call duration, plus connections that are not accepted yet,
     divided by the limit of one replica. */}}
{{- define "askd.saturationQuery" -}}
{{- $pods := printf "namespace=%q,pod=~%q" (include "askd.namespace" .) (printf "%s-[a-z0-9]+-[a-z0-9]+" (include "askd.fullname" .)) -}}
{{- $rate := dict -}}
{{- range $name := list "in_flight_seconds_total" "shed_total" "clients_left_queue_total" "answerer_duration_seconds_sum" "answerer_duration_seconds_count" -}}
{{- $_ := set $rate $name (printf "sum(rate(askd_%s{%s}[%s]))" $name $pods $.Values.autoscaling.saturation.window) -}}
{{- end -}}
({{ $rate.in_flight_seconds_total }} + ({{ $rate.shed_total }} + ({{ $rate.clients_left_queue_total }} or vector(0))) * ({{ $rate.answerer_duration_seconds_sum }} / ({{ $rate.answerer_duration_seconds_count }} > 0) or vector(0)) + (sum(avg_over_time(askd_accept_queue_length{ {{- $pods -}} }[{{ $.Values.autoscaling.saturation.window }}])) or vector(0))) / avg(askd_concurrency_limit{ {{- $pods -}} })
{{- end }}
