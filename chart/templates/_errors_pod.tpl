{{/* Errors in the pod, and in names. */}}

{{- define "askd.podErrors" -}}
{{- $values := .Values -}}
{{- if not (regexMatch "^([a-z]([a-z0-9-]{0,50}[a-z0-9])?)?$" $values.fullnameOverride) }}
  - fullnameOverride is {{ $values.fullnameOverride }}, which is no name of a Service: use at most 52 lower-case letters, digits and hyphens, with a letter first
{{- end }}
{{- $tag := $values.image.tag }}
{{- if kindIs "float64" $tag }}
{{- if ne $tag (floor $tag) }}
  - image.tag is the number {{ $tag }}, and YAML reads {{ $tag }}0 as the same number: quote the tag that you mean
{{- end }}
{{- end }}
{{- with $values.terminationGracePeriodSeconds }}
{{- if lt (int64 .) (include "askd.leastGracePeriod" $ | int64) }}
  - terminationGracePeriodSeconds is {{ . }}, but a shutdown may take {{ include "askd.leastGracePeriod" $ }} s, after which requests in flight would be lost: omit it, or use a shorter settings.deadline
{{- end }}
{{- end }}
{{- $names := list }}
{{- range $values.extraEnv }}
{{- if hasPrefix "ASKD_" .name }}
  - extraEnv has {{ .name }}, which is a setting of askd: use settings.{{ .name | trimPrefix "ASKD_" | lower | camelcase | untitle }}, or the chart's value that it is derived from
{{- else if has .name $names }}
  - extraEnv has {{ .name }} twice: remove one
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- range $values.extraArgs }}
{{- $option := regexFind "^--[a-z-]+" (toString .) | trimPrefix "--" }}
{{- if has $option (list "host" "port" "ops-port" "answerer" "tokens-file" "tls-cert" "tls-key" "redis-url" "mcp-secret" "upstream-api-key-file") }}
  - extraArgs has --{{ $option }}, which the chart sets: use its value, such as ops.port, answerer.spec, auth.existingSecret or tls.existingSecret
{{- else if not (has $option (list "" "env-file")) }}
  - extraArgs has --{{ $option }}, which is a setting of askd: use settings.{{ $option | snakecase | camelcase | untitle }}, from which the chart computes the grace period and checks other values
{{- end }}
{{- end }}
{{- $names = list "tmp" "answers" "tokens" "tls" "upstream-key" }}
{{- range $values.extraVolumes }}
{{- if has .name $names }}
  - extraVolumes has {{ .name }}, which already exists: give it another name
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- $names = list "/tmp" "/answers" "/etc/askd/tokens" "/etc/askd/tls" "/etc/askd/upstream" }}
{{- range $values.extraVolumeMounts }}
{{- if has (trimSuffix "/" .mountPath) $names }}
  - extraVolumeMounts has {{ .mountPath }}, which is already mounted: give it another path
{{- end }}
{{- $names = append $names (trimSuffix "/" .mountPath) }}
{{- end }}
{{- $names = list "askd" }}
{{- range concat $values.initContainers $values.extraContainers }}
{{- if has .name $names }}
  - the container name {{ .name }} is there twice: rename one of them
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- $fields := dict
  "serviceAccountName" "serviceAccount.name" "automountServiceAccountToken" "serviceAccount.automount"
  "terminationGracePeriodSeconds" "" "imagePullSecrets" "" "securityContext" "podSecurityContext" "priorityClassName" ""
  "runtimeClassName" "" "schedulerName" "" "nodeSelector" "" "affinity" "" "tolerations" ""
  "topologySpreadConstraints" "" "dnsPolicy" "" "dnsConfig" "" "hostAliases" "" "initContainers" ""
  "containers" "extraContainers" "volumes" "extraVolumes" }}
{{- range $name := keys $values.podSpecExtra | sortAlpha }}
{{- if hasKey $fields $name }}
  - podSpecExtra has {{ $name }}, which the chart sets: use {{ get $fields $name | default $name }}
{{- else if eq $name "enableServiceLinks" }}
  - podSpecExtra has enableServiceLinks: it is off, because the variable ASKD_PORT of a Service named askd would be read as a setting: omit it
{{- end }}
{{- end }}
{{- end }}

{{/* Names of other charts, with what to do in this one. */}}
{{- define "askd.nameErrors" -}}
{{- range $path, $fix := .Files.Get "files/other-names.yaml" | fromYaml }}
{{- if include "askd.has" (dict "map" $.Values "path" (splitList "." $path)) }}
  - {{ $path }} is not a value of this chart: {{ $fix }}
{{- end }}
{{- end }}
{{- end }}

{{/* Non-empty if a map has a path, a list of names. */}}
{{- define "askd.has" -}}
{{- if kindIs "map" .map -}}
{{- if hasKey .map (first .path) -}}
{{- if rest .path -}}{{- include "askd.has" (dict "map" (index .map (first .path)) "path" (rest .path)) -}}
{{- else -}}yes{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
