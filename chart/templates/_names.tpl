{{/* Names, labels and the image. */}}

{{- define "askd.name" -}}
{{- .Values.nameOverride | default "askd" -}}
{{- end }}

{{/* At most 52 characters, so that the suffixes of other objects fit into 63. */}}
{{- define "askd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "askd.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "askd.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Selector labels, which never change in a release because selectors are immutable. */}}
{{- define "askd.selector" -}}
app.kubernetes.io/name: {{ include "askd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{/* Labels of every object. The user's come first, so that they cannot replace a selector label. */}}
{{- define "askd.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "askd.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" (.Values.image.tag | default .Chart.AppVersion | trunc 63)
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63) -}}
{{- toYaml (merge $own .Values.labels) -}}
{{- end }}

{{- define "askd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "askd.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "askd.image" -}}
{{- $registry := (.Values.global | default dict).imageRegistry | default .Values.image.registry -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- if or .Values.image.tag (not .Values.image.digest) }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{/* Pull Secrets of the pods and the test pod. */}}
{{- define "askd.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Listen address: :: covers both families, 0.0.0.0 works without IPv6. */}}
{{- define "askd.host" -}}
{{- $dual := has .Values.service.ipFamilyPolicy (list "PreferDualStack" "RequireDualStack") -}}
{{- if or $dual (has "IPv6" .Values.service.ipFamilies) -}}::{{- else -}}0.0.0.0{{- end -}}
{{- end }}

{{- define "askd.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "askd.scheme" -}}
{{- if .Values.tls.existingSecret -}}https{{- else -}}http{{- end -}}
{{- end }}
