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
{{- with .Values.extraEnv }}
{{ toYaml . }}
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
{{- printf "%s-files-%s" (include "askd.fullname" .) (toJson .Values.answerer.files | sha256sum | trunc 10) -}}
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

{{- define "askd.probes" -}}
startupProbe:
  httpGet:
    path: /startupz
    port: ops
  periodSeconds: 1
  timeoutSeconds: 1
  failureThreshold: {{ .Values.startup.budget }}
{{- with .Values.probes.readiness }}
{{- if .enabled }}
readinessProbe:
  httpGet:
    path: /readyz
    port: ops
  periodSeconds: {{ .periodSeconds }}
  timeoutSeconds: {{ .timeoutSeconds }}
  failureThreshold: {{ .failureThreshold }}
{{- end }}
{{- end }}
{{- with .Values.probes.liveness }}
{{- if .enabled }}
livenessProbe:
  httpGet:
    path: /livez
    port: ops
  periodSeconds: {{ .periodSeconds }}
  timeoutSeconds: {{ .timeoutSeconds }}
  failureThreshold: {{ .failureThreshold }}
  # A loop that hangs does not hear SIGTERM: it need not be given the whole grace period.
  terminationGracePeriodSeconds: {{ add $.Values.stop.preStop 1 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "askd.spread" -}}
{{- if kindIs "invalid" .Values.topologySpreadConstraints }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- topologyKey: {{ . }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- include "askd.selector" $ | nindent 6 }}
{{- end }}
{{- else if .Values.topologySpreadConstraints }}
{{ toYaml .Values.topologySpreadConstraints }}
{{- end }}
{{- end }}
