{{/* Environment, volumes and mounts of the container of askd. */}}

{{/* Every setting with a value, as its variable. They are in the pod template and not in a ConfigMap, so that a wrong
     setting never reaches running pods, not even when one of them restarts. */}}
{{- define "askd.env" -}}
{{- with .Values.answerer.spec }}
- name: ASKD_ANSWERER
  value: {{ quote . }}
{{- end }}
- name: ASKD_HOST
  value: {{ include "askd.host" . | quote }}
- name: ASKD_PORT
  value: "2024"
- name: ASKD_OPS_PORT
  value: {{ .Values.ops.port | quote }}
{{- if .Values.auth.existingSecret }}
- name: ASKD_TOKENS_FILE
  value: /etc/askd/tokens
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: ASKD_TLS_CERT
  value: /etc/askd/tls/tls.crt
- name: ASKD_TLS_KEY
  value: /etc/askd/tls/tls.key
{{- end }}
{{- if .Values.answerer.upstreamKey.existingSecret }}
- name: ASKD_UPSTREAM_API_KEY_FILE
  value: /etc/askd/upstream/key
{{- end }}
{{- with .Values.mcp.existingSecret }}
- name: ASKD_MCP_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.mcp.key }}
{{- end }}
{{- with .Values.redis.existingSecret }}
- name: ASKD_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.Values.redis.key }}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- $text := include "askd.text" (kindIs "slice" $value | ternary (include "askd.list" $value) $value) }}
{{- if not (or (kindIs "invalid" $value) (eq $text "")) }}
- name: ASKD_{{ $name | snakecase | upper }}
  value: {{ quote $text }}
{{- end }}
{{- end }}
{{- range .Values.extraEnv }}
{{- $value := hasKey . "value" | ternary (dict "value" (kindIs "string" .value | ternary .value (include "askd.text" .value))) dict }}
- {{ toYaml (merge $value .) | nindent 2 | trim }}
{{- end }}
{{- end }}

{{- define "askd.list" -}}
{{- $texts := list -}}
{{- range (kindIs "slice" . | ternary . list) }}{{ $texts = append $texts (include "askd.text" .) }}{{ end -}}
{{- join "," $texts -}}
{{- end }}

{{- define "askd.envFrom" -}}
{{- with .Values.answerer.existingSecret }}
- secretRef:
    name: {{ . }}
{{- end }}
{{- with .Values.extraEnvFrom }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The answerer's files by name, as JSON. `--set-file answerer.files.answer.py=…` makes {answer: {py: …}} of a name,
     so a map is a name's beginning. */}}
{{- define "askd.files" -}}
{{- include "askd.flatten" (dict "prefix" "" "files" .Values.answerer.files "into" dict) -}}
{{- end }}

{{- define "askd.flatten" -}}
{{- range $name, $text := .files -}}
{{- if kindIs "map" $text -}}
{{- $_ := include "askd.flatten" (dict "prefix" (printf "%s%s." $.prefix $name) "files" $text "into" $.into) -}}
{{- else -}}
{{- $_ := set $.into (printf "%s%s" $.prefix $name) (toString $text) -}}
{{- end -}}
{{- end -}}
{{- toJson .into -}}
{{- end }}

{{/* Source of the answerer's files: files, a ConfigMap or a volume. Empty if the image has them or none are needed. */}}
{{- define "askd.answers" -}}
{{- with .Values.answerer }}
{{- if .files }}
configMap:
  name: {{ include "askd.filesName" $ }}
{{- else if .existingConfigMap }}
configMap:
  name: {{ .existingConfigMap }}
{{- else if .volume }}
{{ toYaml .volume }}
{{- end }}
{{- end }}
{{- end }}

{{- define "askd.filesName" -}}
{{- printf "%s-files-%s" (include "askd.fullname" .) (include "askd.files" . | sha256sum | trunc 10) -}}
{{- end }}

{{- define "askd.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.tmp.sizeLimit }}
{{- with include "askd.answers" . | trim }}
- name: answers
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.auth.existingSecret }}
- name: tokens
  secret:
    secretName: {{ . }}
    defaultMode: 0444
{{- end }}
{{- with .Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0444
{{- end }}
{{- with .Values.answerer.upstreamKey.existingSecret }}
- name: upstream-key
  secret:
    secretName: {{ . }}
    defaultMode: 0444
    items:
      - key: {{ $.Values.answerer.upstreamKey.key }}
        path: key
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Directories, never subPath, because a subPath mount is not updated when its source changes. */}}
{{- define "askd.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if include "askd.answers" . | trim }}
- name: answers
  mountPath: /answers
  readOnly: true
{{- end }}
{{- if .Values.auth.existingSecret }}
- name: tokens
  mountPath: /etc/askd/tokens
  readOnly: true
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: tls
  mountPath: /etc/askd/tls
  readOnly: true
{{- end }}
{{- if .Values.answerer.upstreamKey.existingSecret }}
- name: upstream-key
  mountPath: /etc/askd/upstream
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The times of a probe. */}}
{{- define "askd.probeTimes" -}}
{{- range $name := list "initialDelaySeconds" "periodSeconds" "timeoutSeconds" "failureThreshold" "successThreshold" }}
{{- with get $ $name }}
{{ $name }}: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "askd.probes" -}}
startupProbe:
  httpGet:
    path: /startupz
    port: ops
  {{- include "askd.probeTimes" .Values.startupProbe | nindent 2 }}
{{- if .Values.readinessProbe.enabled }}
readinessProbe:
  httpGet:
    path: /readyz
    port: ops
  {{- include "askd.probeTimes" .Values.readinessProbe | nindent 2 }}
{{- end }}
{{- if .Values.livenessProbe.enabled }}
livenessProbe:
  httpGet:
    path: /livez
    port: ops
  {{- include "askd.probeTimes" .Values.livenessProbe | nindent 2 }}
  # A loop that hangs does not hear SIGTERM: it need not be given the whole grace period.
  terminationGracePeriodSeconds: {{ add (include "askd.preStop" .) 1 }}
{{- end }}
{{- end }}

{{/* Hooks of the container: the user's, and the sleep before SIGTERM. */}}
{{- define "askd.lifecycle" -}}
{{- $hooks := dict -}}
{{- with .Values.stop.preStop }}{{ $_ := set $hooks "preStop" (dict "sleep" (dict "seconds" (int64 .))) }}{{ end -}}
{{- range $name, $hook := .Values.lifecycle }}{{ if $hook }}{{ $_ := set $hooks $name $hook }}{{ end }}{{ end -}}
{{- with $hooks }}{{ toYaml . }}{{ end -}}
{{- end }}

{{- define "askd.spread" -}}
{{- $selector := dict "labelSelector" (dict "matchLabels" (include "askd.selector" . | fromYaml)) }}
{{- if kindIs "invalid" .Values.topologySpreadConstraints }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- topologyKey: {{ . }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  matchLabelKeys: [pod-template-hash]
  {{- toYaml $selector | nindent 2 }}
{{- end }}
{{- else }}
{{- range .Values.topologySpreadConstraints }}
- {{ toYaml (merge (deepCopy .) $selector) | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- end }}

{{/* DNS and names of the pod. */}}
{{- define "askd.dns" -}}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
{{- $options := list }}
{{- range .options }}
{{- $options = append $options (hasKey . "value" | ternary (dict "name" .name "value" (include "askd.text" .value)) .) }}
{{- end }}
dnsConfig:
  {{- toYaml (empty $options | ternary . (merge (dict "options" $options) .)) | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
