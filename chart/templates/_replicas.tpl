{{/* Who owns `spec.replicas`, and what of it is rendered. */}}

{{/* Whether the chart leaves the number to others. */}}
{{- define "askd.scaledByOthers" -}}
{{- if or (ne .Values.autoscaling.type "none") (kindIs "invalid" .Values.replicaCount) -}}yes{{- end -}}
{{- end }}

{{/* How the Deployment that is there was deployed, as JSON: `owner` is whoever set its selector, which nobody else does.
     applied: server-side, and nobody else owns the number, so that an upgrade without it would make it 1
     updated: client-side, where an upgrade without what the last manifest had would make it 1
     Without a cluster (helm template, GitOps) nothing is known, and nothing is there to lose. */}}
{{- define "askd.live" -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace (include "askd.fullname" .) -}}
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

{{/* The number to render; empty: none. */}}
{{- define "askd.replicas" -}}
{{- if not (include "askd.scaledByOthers" .) -}}
{{- .Values.replicaCount | int64 -}}
{{- else -}}
{{- $live := include "askd.live" . | fromJson -}}
{{- if $live.updated -}}{{- $live.replicas | int64 -}}{{- end -}}
{{- end -}}
{{- end }}

{{/* The fewest replicas that are certain; 0 where others decide. */}}
{{- define "askd.certainReplicas" -}}
{{- if ne .Values.autoscaling.type "none" -}}
{{- .Values.autoscaling.minReplicas | int64 -}}
{{- else -}}
{{- .Values.replicaCount | default 0 | int64 -}}
{{- end -}}
{{- end }}

{{/* How much of the limit is in use, in replicas: questions in the code on average (Little's law: seconds in the code per
     second), and those shed, each with the time that it would have taken, over what one replica may hold. */}}
{{- define "askd.saturationQuery" -}}
{{- $pods := printf "namespace=%q,pod=~%q" .Release.Namespace (printf "%s-[a-z0-9]+-[a-z0-9]+" (include "askd.fullname" .)) -}}
{{- $rate := dict -}}
{{- range $name := list "inflight_seconds_total" "shed_total" "answerer_duration_seconds_sum" "answerer_duration_seconds_count" -}}
{{- $_ := set $rate $name (printf "sum(rate(askd_%s{%s}[%s]))" $name $pods $.Values.autoscaling.saturation.window) -}}
{{- end -}}
({{ $rate.inflight_seconds_total }} + {{ $rate.shed_total }} * ({{ $rate.answerer_duration_seconds_sum }} / ({{ $rate.answerer_duration_seconds_count }} > 0) or vector(0))) / avg(askd_concurrency_limit{ {{- $pods -}} })
{{- end }}
